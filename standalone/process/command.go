package process

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// command is what runs for a replica of a Deployment: the first container's
// command, args and env, with the environment of standalone below it.
func command(d *appsv1.Deployment, replica string, l *lease, environ []string) (*exec.Cmd, error) {
	container := &d.Spec.Template.Spec.Containers[0]
	env := environment{}
	env.set("HOST", l.host)
	env.set("POD_IP", l.host)
	env.set("PORT", strconv.Itoa(int(l.ports[container.Ports[0].ContainerPort])))
	for _, v := range container.Env {
		env.set(v.Name, env.value(v, d.Namespace, replica, l.host))
	}

	argv := make([]string, 0, len(container.Command)+len(container.Args))
	for _, arg := range append(append(argv, container.Command...), container.Args...) {
		argv = append(argv, env.expand(arg))
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	if cmd.Err != nil {
		return nil, fmt.Errorf("finding the program: %w", cmd.Err)
	}
	cmd.Dir = env.expand(container.WorkingDir)
	cmd.Env = append(append([]string(nil), environ...), env.list()...)
	return cmd, nil
}

// environment keeps variables in the order in which they were set.
type environment struct {
	names  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if e.values == nil {
		e.values = map[string]string{}
	}
	if _, known := e.values[name]; !known {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environment) list() []string {
	list := make([]string, 0, len(e.names))
	for _, name := range e.names {
		list = append(list, name+"="+e.values[name])
	}
	return list
}

func (e *environment) value(v corev1.EnvVar, namespace, replica, host string) string {
	if v.ValueFrom == nil || v.ValueFrom.FieldRef == nil {
		return e.expand(v.Value)
	}
	switch v.ValueFrom.FieldRef.FieldPath {
	case "metadata.name":
		return replica
	case "metadata.namespace":
		return namespace
	default: // status.podIP and status.hostIP: manifests with anything else are refused
		return host
	}
}

// expand replaces $(NAME) as Kubernetes does: a name that is not defined stays
// as it is written, and $$ is a dollar sign that begins nothing.
func (e *environment) expand(s string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		s = rest
		if strings.HasPrefix(s, "$") {
			out.WriteByte('$')
			s = s[1:]
			continue
		}
		if name, after, closed := strings.Cut(s, ")"); closed && strings.HasPrefix(name, "(") {
			if value, defined := e.values[name[1:]]; defined {
				out.WriteString(value)
				s = after
				continue
			}
		}
		out.WriteByte('$')
	}
}
