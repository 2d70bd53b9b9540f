//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// serviceAccountFolder is where a program finds its identity in the cluster.
const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

// compiler turns the specification of a pod into that of a process.
type compiler struct {
	client kubernetes.Interface
	ca     []byte           // of the API server
	images map[string]image // by name without tag, and without registry those of the add-on
}

// compile asks for all that the pod refers to. The folder is the pod's own.
func (c *compiler) compile(ctx context.Context, pod *corev1.Pod, address, folder string) (containerSpec, error) {
	if len(pod.Spec.Containers) != 1 || len(pod.Spec.InitContainers) > 0 {
		return containerSpec{}, errors.New("a pod is one container here")
	}
	container := pod.Spec.Containers[0]
	spec := containerSpec{root: filepath.Join(folder, "root"), hostname: pod.Name, args: container.Args}
	if err := os.MkdirAll(spec.root, 0o755); err != nil {
		return containerSpec{}, fmt.Errorf("making the folder of the pod: %w", err)
	}
	name, _, _ := strings.Cut(container.Image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	image, found := c.images[name]
	if !found {
		image, found = c.images[path.Base(name)]
	}
	if !found {
		return containerSpec{}, fmt.Errorf("there is no image %s", name)
	}
	spec.image = image
	if len(container.Command) > 0 {
		if container.Command[0] != spec.image.entrypoint {
			return containerSpec{}, fmt.Errorf("the image %s has no %s, but %s", name, container.Command[0], spec.image.entrypoint)
		}
		spec.args = append(append([]string{}, container.Command[1:]...), container.Args...)
	}
	if context := container.SecurityContext; context != nil && context.ReadOnlyRootFilesystem != nil {
		spec.readOnlyRoot = *context.ReadOnlyRootFilesystem
	}
	var err error
	if spec.env, err = c.environment(ctx, pod, address); err != nil {
		return containerSpec{}, err
	}
	if spec.volumes, err = c.volumes(ctx, pod, folder); err != nil {
		return containerSpec{}, err
	}
	spec.files = map[string][]byte{
		"/etc/resolv.conf": resolvConf(pod.Namespace),
		"/etc/hosts":       []byte("127.0.0.1 localhost\n" + address + " " + pod.Name + "\n"),
	}
	if mount := pod.Spec.AutomountServiceAccountToken; mount == nil || *mount {
		token, err := c.token(ctx, pod)
		if err != nil {
			return containerSpec{}, err
		}
		spec.files[serviceAccountFolder+"/token"] = token
		spec.files[serviceAccountFolder+"/ca.crt"] = c.ca
		spec.files[serviceAccountFolder+"/namespace"] = []byte(pod.Namespace)
	}
	return spec, nil
}

// token is one for the pod's service account that ends with the pod.
func (c *compiler) token(ctx context.Context, pod *corev1.Pod) ([]byte, error) {
	lifetime := int64(24 * 60 * 60)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &lifetime,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	answer, err := c.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("requesting a token: %w", err)
	}
	return []byte(answer.Status.Token), nil
}

// environment is the process's whole environment: nothing of this process's.
func (c *compiler) environment(ctx context.Context, pod *corev1.Pod, address string) ([]string, error) {
	env := []string{
		"PATH=/", "HOME=/", "HOSTNAME=" + pod.Name,
		"KUBERNETES_SERVICE_HOST=" + apiServiceIP, "KUBERNETES_SERVICE_PORT=443",
	}
	for _, from := range pod.Spec.Containers[0].EnvFrom {
		if from.ConfigMapRef == nil {
			return nil, errors.New("only ConfigMaps become environment here")
		}
		data, err := c.configMap(ctx, pod.Namespace, from.ConfigMapRef.Name)
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			env = append(env, from.Prefix+name+"="+string(value))
		}
	}
	for _, variable := range pod.Spec.Containers[0].Env {
		value := variable.Value
		if from := variable.ValueFrom; from != nil {
			var err error
			if value, err = c.value(ctx, pod, from, address); err != nil {
				return nil, fmt.Errorf("resolving the variable %s: %w", variable.Name, err)
			}
		}
		env = append(env, variable.Name+"="+value)
	}
	return env, nil
}

func (c *compiler) value(ctx context.Context, pod *corev1.Pod, from *corev1.EnvVarSource, address string) (string, error) {
	var key string
	var data map[string][]byte
	var err error
	switch {
	case from.FieldRef != nil:
		return field(pod, from.FieldRef.FieldPath, address)
	case from.ResourceFieldRef != nil && from.ResourceFieldRef.Resource == "limits.memory":
		return strconv.FormatInt(pod.Spec.Containers[0].Resources.Limits.Memory().Value(), 10), nil
	case from.ConfigMapKeyRef != nil:
		key = from.ConfigMapKeyRef.Key
		data, err = c.configMap(ctx, pod.Namespace, from.ConfigMapKeyRef.Name)
	case from.SecretKeyRef != nil:
		key = from.SecretKeyRef.Key
		data, err = c.secret(ctx, pod.Namespace, from.SecretKeyRef.Name)
	default:
		err = errors.New("this source is not known here")
	}
	if err != nil {
		return "", err
	}
	value, found := data[key]
	if !found {
		return "", fmt.Errorf("there is no key %s", key)
	}
	return string(value), nil
}

func field(pod *corev1.Pod, path, address string) (string, error) {
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return nodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP":
		return address, nil
	case "status.hostIP":
		return apiAddress, nil
	}
	return "", fmt.Errorf("the field %s is not known here", path)
}

// volumes writes the contents of the volumes that the container mounts.
func (c *compiler) volumes(ctx context.Context, pod *corev1.Pod, folder string) ([]volume, error) {
	sources := map[string]corev1.VolumeSource{}
	for _, v := range pod.Spec.Volumes {
		sources[v.Name] = v.VolumeSource
	}
	var volumes []volume
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		if mount.MountPath == serviceAccountFolder {
			continue // the admission plugin's own; token does that
		}
		content := filepath.Join(folder, "volumes", mount.Name)
		if err := os.MkdirAll(content, 0o755); err != nil {
			return nil, fmt.Errorf("making a volume: %w", err)
		}
		var data map[string][]byte
		var err error
		switch source := sources[mount.Name]; {
		case source.EmptyDir != nil:
		case source.Secret != nil:
			data, err = c.secret(ctx, pod.Namespace, source.Secret.SecretName)
		case source.ConfigMap != nil:
			data, err = c.configMap(ctx, pod.Namespace, source.ConfigMap.Name)
		default:
			err = fmt.Errorf("the kind of volume %s is not known here", mount.Name)
		}
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			if err := os.WriteFile(filepath.Join(content, name), value, 0o644); err != nil {
				return nil, fmt.Errorf("writing a volume: %w", err)
			}
		}
		volumes = append(volumes, volume{folder: filepath.Join(content, mount.SubPath), path: mount.MountPath})
	}
	return volumes, nil
}

func (c *compiler) configMap(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	object, err := c.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading a ConfigMap: %w", err)
	}
	data := map[string][]byte{}
	for key, value := range object.Data {
		data[key] = []byte(value)
	}
	return data, nil
}

func (c *compiler) secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	object, err := c.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading a Secret: %w", err)
	}
	return object.Data, nil
}
