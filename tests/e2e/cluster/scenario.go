//go:build e2e

package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Eventually repeats so until it succeeds. Otherwise it reports what did not happen, and the last
// error. It asks every 20 ms, and less often the longer it takes, down to every 200 ms.
func (c *Cluster) Eventually(ctx context.Context, what string, timeout time.Duration, so func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	started := time.Now()
	var last error
	for {
		ok, err := so(ctx)
		if ok {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(min(max(time.Since(started)/20, 20*time.Millisecond), 200*time.Millisecond)):
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return fmt.Errorf("waiting %s for %s: %w", timeout, what, last)
		}
	}
}

// CreateNamespace makes a namespace in which pods can be made. One of that name that an earlier run
// left is deleted first.
func (c *Cluster) CreateNamespace(ctx context.Context, name string) error {
	if err := c.Eventually(ctx, "the namespace "+name, 2*time.Minute, func(ctx context.Context) (bool, error) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		err := c.Client.Create(ctx, namespace)
		if apierrors.IsAlreadyExists(err) {
			return false, errors.Join(err, client.IgnoreNotFound(c.Client.Delete(ctx, namespace)))
		}
		return err == nil, err
	}); err != nil {
		return err
	}
	return c.Eventually(ctx, "the service account of "+name, 30*time.Second, func(ctx context.Context) (bool, error) {
		err := c.Client.Get(ctx, client.ObjectKey{Namespace: name, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, err
	})
}

// Apply is kubectl apply of YAML documents.
func (c *Cluster) Apply(ctx context.Context, namespace, manifests string) error {
	_, err := c.Kubectl(ctx, manifests, "apply", "--namespace="+namespace, "--filename=-")
	return err
}

// Pods are the pods of a namespace that a label selector ("app=llm"; empty is all)
// selects and that are not being deleted.
func (c *Cluster) Pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("reading a selector: %w", err)
	}
	var list corev1.PodList
	if err := c.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: parsed}); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	var pods []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// Deployment reads a Deployment.
func (c *Cluster) Deployment(ctx context.Context, namespace, name string) (*appsv1.Deployment, error) {
	deployment := &appsv1.Deployment{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, deployment); err != nil {
		return nil, fmt.Errorf("reading a Deployment: %w", err)
	}
	return deployment, nil
}

// OutOfMemory returns the containers of the add-on that were killed because of their memory limit,
// as far as their pods are still there.
func (c *Cluster) OutOfMemory(ctx context.Context) ([]string, error) {
	pods, err := c.Pods(ctx, Namespace, "app.kubernetes.io/part-of=keda-add-ons-http")
	if err != nil {
		return nil, err
	}
	var killed []string
	for _, pod := range pods {
		for _, status := range pod.Status.ContainerStatuses {
			if ended := status.LastTerminationState.Terminated; ended != nil && ended.Reason == "OOMKilled" {
				killed = append(killed, pod.Name+"/"+status.Name)
			}
		}
	}
	return killed, nil
}

// Event is a server-sent event.
type Event struct {
	Name, Data string
	At         time.Time // when it was read
}

// Events reads server-sent events as they come; comments are left out. The sequence
// ends with the stream; an error that is not its end comes last.
func Events(stream io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var event Event
		var data []string
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "event":
				event.Name = value
			case "data":
				data = append(data, value)
			}
			if lines.Text() != "" || len(data) == 0 {
				continue
			}
			event.Data, event.At = strings.Join(data, "\n"), time.Now()
			if !yield(event, nil) {
				return
			}
			event, data = Event{}, nil
		}
		if err := lines.Err(); err != nil {
			yield(Event{}, fmt.Errorf("reading events: %w", err))
		}
	}
}
