// Package claims reports, as conditions, which requests of a route go to other routes. It also
// reconciles the routes that a change may affect. It must not know which of the two kinds a
// controller is for.
package claims

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/route"
)

// Claims knows which routes ask for the same places. It is safe for concurrent use: the
// handlers of two watches write, reconciliations read.
type Claims struct{ routes *route.Claims }

// New returns no claims.
func New(limits route.Limits) *Claims { return &Claims{routes: route.NewClaims(limits)} }

// Conflicts reports that a route is over the bound of its namespace, and which of its requests
// other routes get. These are warnings, unless the route gets no request at all.
func (c *Claims) Conflicts(object *v1beta1.InterceptorRoute) (problems []conditions.Problem) {
	if over := c.routes.Over(client.ObjectKeyFromObject(object)); over != nil {
		problems = append(problems, conditions.Problem{Reason: over.Reason, Message: over.Message})
	}
	lost, all := c.routes.Conflicts(object)
	for _, conflict := range lost {
		problems = append(problems, conditions.Problem{Reason: route.ReasonRouteConflict, Message: conflict.String(), Warning: !all})
	}
	return problems
}
