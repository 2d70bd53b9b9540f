package manifest

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// FieldPaths that an environment variable may take its value from.
var FieldPaths = []string{"metadata.name", "metadata.namespace", "status.podIP", "status.hostIP"}

// checkDeployment refuses what cannot run as a local process and warns of what
// has no effect on one.
func checkDeployment(d *appsv1.Deployment, taken map[int32]string) (warnings []error, refused error) {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	pod := spec.Child("template", "spec")
	if d.Spec.Replicas != nil && *d.Spec.Replicas < 0 {
		errs = append(errs, field.Invalid(spec.Child("replicas"), *d.Spec.Replicas, "must not be negative"))
	}
	if selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err != nil {
		errs = append(errs, field.Invalid(spec.Child("selector"), "", err.Error()))
	} else if selector.Empty() || !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
		errs = append(errs, field.Invalid(spec.Child("selector"), labels.FormatLabels(d.Spec.Template.Labels), "must match the labels of the template"))
	}
	if len(d.Spec.Template.Spec.Containers) == 0 {
		errs = append(errs, field.Required(pod.Child("containers"), "the first container is what runs"))
		return nil, errs.ToAggregate()
	}
	first := pod.Child("containers").Index(0)
	container := &d.Spec.Template.Spec.Containers[0]
	if len(container.Command) == 0 {
		errs = append(errs, field.Required(first.Child("command"), "a local process has no image that would name the program"))
	}
	if len(container.Ports) == 0 {
		errs = append(errs, field.Required(first.Child("ports"), "the first containerPort becomes PORT, and readiness is seen there"))
	}
	for i, port := range container.Ports {
		if port.ContainerPort < 1 || port.ContainerPort > 65535 {
			errs = append(errs, field.Invalid(first.Child("ports").Index(i).Child("containerPort"), port.ContainerPort, "must be between 1 and 65535"))
		}
		if owner, own := taken[port.ContainerPort]; own {
			errs = append(errs, field.Invalid(first.Child("ports").Index(i).Child("containerPort"), port.ContainerPort,
				fmt.Sprintf("standalone itself listens on this port: have the program listen on another one, or set %s", owner)))
		}
	}
	for i, env := range container.Env {
		errs = append(errs, checkEnv(env, first.Child("env").Index(i))...)
	}
	if len(container.EnvFrom) > 0 {
		errs = append(errs, field.Forbidden(first.Child("envFrom"), "write the variables under env"))
	}
	if grace := d.Spec.Template.Spec.TerminationGracePeriodSeconds; grace != nil && *grace < 0 {
		errs = append(errs, field.Invalid(pod.Child("terminationGracePeriodSeconds"), *grace, "must not be negative"))
	}
	errs = append(errs, checkProbe(container, first.Child("readinessProbe"))...)
	if len(d.Spec.Template.Spec.Containers) > 1 {
		warnings = append(warnings, field.Forbidden(pod.Child("containers").Index(1), "ignored: only the first container runs"))
	}
	if len(d.Spec.Template.Spec.InitContainers) > 0 {
		warnings = append(warnings, field.Forbidden(pod.Child("initContainers"), "ignored: only the first container runs"))
	}
	return warnings, errs.ToAggregate()
}

func checkEnv(env corev1.EnvVar, path *field.Path) field.ErrorList {
	if env.Name == "" {
		return field.ErrorList{field.Required(path.Child("name"), "")}
	}
	if env.ValueFrom == nil {
		return nil
	}
	if ref := env.ValueFrom.FieldRef; ref != nil && sets.New(FieldPaths...).Has(ref.FieldPath) {
		return nil
	}
	return field.ErrorList{field.Forbidden(path.Child("valueFrom"), "only a value, or a fieldRef to the name, the namespace or an IP, is known to a local process")}
}

func checkProbe(container *corev1.Container, path *field.Path) field.ErrorList {
	probe, probed := container.ReadinessProbe, path
	if probe == nil {
		return nil
	}
	var port intstr.IntOrString
	switch {
	case probe.HTTPGet != nil:
		path, port = path.Child("httpGet"), probe.HTTPGet.Port
	case probe.TCPSocket != nil:
		path, port = path.Child("tcpSocket"), probe.TCPSocket.Port
	default:
		return field.ErrorList{field.Forbidden(path, "a local process is probed by httpGet or tcpSocket, or by a TCP connect without a probe")}
	}
	for name, value := range map[string]int32{
		"initialDelaySeconds": probe.InitialDelaySeconds, "periodSeconds": probe.PeriodSeconds, "timeoutSeconds": probe.TimeoutSeconds,
		"successThreshold": probe.SuccessThreshold, "failureThreshold": probe.FailureThreshold,
	} {
		if value < 0 {
			return field.ErrorList{field.Invalid(probed.Child(name), value, "must not be negative")}
		}
	}
	if port.Type == intstr.Int {
		if port.IntVal < 1 || port.IntVal > 65535 {
			return field.ErrorList{field.Invalid(path.Child("port"), port.IntVal, "must be between 1 and 65535")}
		}
		return nil
	}
	for _, p := range container.Ports {
		if p.Name == port.StrVal {
			return nil
		}
	}
	return field.ErrorList{field.NotFound(path.Child("port"), port.StrVal)}
}

func checkService(s *corev1.Service) error {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		errs = append(errs, field.NotSupported(spec.Child("type"), s.Spec.Type, []string{"ClusterIP"}))
	}
	if len(s.Spec.Ports) == 0 {
		errs = append(errs, field.Required(spec.Child("ports"), ""))
	}
	names := sets.New[string]()
	for i, port := range s.Spec.Ports {
		path := spec.Child("ports").Index(i)
		if port.Port < 1 || port.Port > 65535 {
			errs = append(errs, field.Invalid(path.Child("port"), port.Port, "must be between 1 and 65535"))
		}
		if port.Name == "" && len(s.Spec.Ports) > 1 {
			errs = append(errs, field.Required(path.Child("name"), "a Service with several ports names each"))
		} else if names.Has(port.Name) {
			errs = append(errs, field.Duplicate(path.Child("name"), port.Name))
		}
		names.Insert(port.Name)
	}
	return errs.ToAggregate()
}

func checkScaledObject(s *ScaledObject) error {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	target := spec.Child("scaleTargetRef")
	if s.Spec.ScaleTargetRef.Name == "" {
		errs = append(errs, field.Required(target.Child("name"), ""))
	}
	if kind := s.Spec.ScaleTargetRef.Kind; kind != "" && kind != KindDeployment {
		errs = append(errs, field.NotSupported(target.Child("kind"), kind, []string{KindDeployment}))
	}
	lowest := int32(0)
	for _, f := range []struct {
		name  string
		value *int32
	}{
		{"minReplicaCount", s.Spec.MinReplicaCount},
		{"maxReplicaCount", s.Spec.MaxReplicaCount},
		{"cooldownPeriod", s.Spec.CooldownPeriod},
		{"initialCooldownPeriod", s.Spec.InitialCooldownPeriod},
	} {
		if f.value != nil && *f.value < 0 {
			errs = append(errs, field.Invalid(spec.Child(f.name), *f.value, "must not be negative"))
		}
	}
	if s.Spec.MinReplicaCount != nil {
		lowest = *s.Spec.MinReplicaCount
	}
	if s.Spec.MaxReplicaCount != nil && *s.Spec.MaxReplicaCount < max(lowest, 1) {
		errs = append(errs, field.Invalid(spec.Child("maxReplicaCount"), *s.Spec.MaxReplicaCount, "must be at least 1 and minReplicaCount"))
	}
	known := false
	for _, trigger := range s.Spec.Triggers {
		_, name := trigger.Route()
		known = known || name != ""
	}
	if !known {
		errs = append(errs, field.Required(spec.Child("triggers"), "a local process scales by a trigger with metadata interceptorRoute or httpScaledObject"))
	}
	return errors.Join(errs.ToAggregate())
}
