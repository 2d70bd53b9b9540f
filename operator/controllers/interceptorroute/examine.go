package interceptorroute

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/controllers/lookup"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/waitingpage"
)

// examination collects what is wrong with one route.
type examination struct {
	*Reconciler
	route    *v1beta1.InterceptorRoute
	problems []conditions.Problem
}

// examine returns the conditions of a route. What keeps requests from it and from its
// target comes first: it is the answer to most questions.
func (r *Reconciler) examine(ctx context.Context, object *v1beta1.InterceptorRoute) ([]metav1.Condition, error) {
	x := &examination{Reconciler: r, route: object}
	x.rules()
	x.sessions()
	for _, step := range []func(context.Context) error{x.target, x.fallback, x.responses} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	wakes, err := r.wakes(ctx, object)
	if err != nil {
		return nil, err
	}
	return []metav1.Condition{
		conditions.Verdict(api.ConditionReady, nil, "InterceptorRoute reconciled"),
		conditions.Verdict(api.ConditionRouted, x.problems, "requests are routed to the target"),
		wakes,
	}, nil
}

func (x *examination) fail(reason, format string, args ...any) {
	x.problems = append(x.problems, conditions.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (x *examination) warn(reason, format string, args ...any) {
	x.problems = append(x.problems, conditions.Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Warning: true})
}

// broken warns of a reference of a field.
func (x *examination) broken(field string, problem *route.Problem) {
	x.warn(problem.Reason, "%s: %s", field, problem.Message)
}

// rules finds out whether any request can be the route's.
func (x *examination) rules() {
	spec := &x.route.Spec
	if len(spec.Rules) == 0 {
		x.fail(ReasonNoRules, "no request matches: spec.rules is empty")
		return
	}
	rules, wrong := x.Settings.Limits.Rules(spec.Rules, route.Matches{})
	for _, problem := range wrong {
		if len(rules) == 0 {
			x.fail(route.ReasonInvalidRules, "%s", problem)
		} else {
			x.warn(route.ReasonInvalidRules, "%s", problem)
		}
	}
	matches := route.Matches{}.And(spec.Rules)
	for i := range spec.StaticRoutes {
		static := spec.StaticRoutes[i].Rules
		_, wrong := x.Settings.Limits.Rules(static, matches)
		matches = matches.And(static)
		for _, problem := range wrong {
			x.warn(route.ReasonInvalidRules, "staticRoutes[%d]: %s", i, problem)
		}
	}
	x.problems = append(x.problems, x.claims.Conflicts(x.route)...)
}

// sessions finds out whether the sessions of the route can be kept.
func (x *examination) sessions() {
	if spec := x.route.Spec.SessionPersistence; spec != nil {
		if problem := route.SessionProblem(spec); problem != nil {
			x.broken("sessionPersistence", problem)
		}
	}
}

func (x *examination) target(ctx context.Context) error {
	problem, err := x.port(ctx, x.route.Spec.Target)
	if problem != nil {
		x.problems = append(x.problems, *problem)
	}
	return err
}

func (x *examination) fallback(ctx context.Context) error {
	coldStart := x.route.Spec.ColdStart
	if coldStart == nil || coldStart.Fallback == nil {
		return nil
	}
	problem, err := x.port(ctx, route.FallbackTarget(coldStart.Fallback.Service))
	if problem != nil {
		x.warn(problem.Reason, "coldStart.fallback: %s", problem.Message)
	}
	return err
}

func (x *examination) responses(ctx context.Context) error {
	for field, ref := range bodies(&x.route.Spec) {
		if refused := x.Settings.ConfigMaps.Problem(x.route.Namespace, ref.Name); refused != nil {
			x.broken(field, refused)
			continue
		}
		if !x.ConfigMaps.Available() {
			continue
		}
		var configMap corev1.ConfigMap
		err := x.Client.Get(ctx, types.NamespacedName{Namespace: x.route.Namespace, Name: ref.Name}, &configMap)
		if apierrors.IsNotFound(err) {
			// The cache holds only those with the label.
			x.broken(field, route.NoConfigMap(ref.Name))
			continue
		}
		if err != nil {
			return fmt.Errorf("reading ConfigMap %s: %w", ref.Name, err)
		}
		_, text := configMap.Data[ref.Key]
		_, binary := configMap.BinaryData[ref.Key]
		if ref.Key != "" && !text && !binary {
			x.broken(field, route.NoKey(ref.Name, ref.Key))
			continue
		}
		if field == waitingPageField {
			if err := x.template(ctx, ref); err != nil {
				return err
			}
		}
	}
	return nil
}

// template checks whether a ConfigMap makes a valid waiting page. It reads the ConfigMap from the
// API server, because the cache does not hold texts.
func (x *examination) template(ctx context.Context, ref *v1beta1.ConfigMapKeyRef) error {
	var configMap corev1.ConfigMap
	err := x.Live.Get(ctx, types.NamespacedName{Namespace: x.route.Namespace, Name: ref.Name}, &configMap)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil // the cache will know soon, or the operator must not
	}
	if err != nil {
		return fmt.Errorf("reading the waiting page of ConfigMap %s: %w", ref.Name, err)
	}
	source, ok := configMap.Data[ref.Key]
	if !ok {
		source = string(configMap.BinaryData[ref.Key])
	}
	spec := x.route.Spec.ColdStart.WaitingPage
	if _, err := waitingpage.Parse(source, waitingpage.Fields{Title: spec.Title, Message: spec.Message}); err != nil {
		x.warn(ReasonInvalidTemplate, "%s: ConfigMap %q: %v", waitingPageField, ref.Name, err)
	}
	return nil
}

func (x *examination) port(ctx context.Context, ref v1beta1.TargetRef) (*conditions.Problem, error) {
	if !x.Services.Available() {
		return nil, nil
	}
	_, problem, err := lookup.Port(ctx, x.Client, x.route.Namespace, ref)
	return problem, err
}
