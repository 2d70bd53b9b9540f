//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"
)

// model is a Deployment at 0 replicas with a Service of the same name, port 80: a
// simulated model server that loads for so long. Its answers are fast.
func model(name string, load time.Duration, args ...string) string {
	args = append([]string{"-load=" + load.String(), "-tokens-per-second=100", "-shutdown=1s"}, args...)
	return workload(name, "modelsim", args)
}

// webApp is a Deployment at 0 replicas with a Service of the same name, port 80: a web
// application that starts for so long.
func webApp(name string, start time.Duration) string {
	return workload(name, "webapp", []string{"-start-delay=" + start.String()})
}

func workload(name, image string, args []string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 0
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
        - name: %[1]s
          image: %[2]s
          imagePullPolicy: IfNotPresent
          args: [%[3]s]
          ports: [{name: http, containerPort: 8000}]
          readinessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 1
            failureThreshold: 1
`, name, image, `"`+strings.Join(args, `","`)+`"`)
}

// scaledObject scales the Deployment of a name by the InterceptorRoute of that name, 0 to 3, and
// puts it to sleep within about two seconds.
func scaledObject(name string) string {
	return fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: %[1]s}
spec:
  scaleTargetRef: {name: %[1]s}
  minReplicaCount: 0
  maxReplicaCount: 3
  pollingInterval: 1
  cooldownPeriod: 1
  triggers:
    - type: external-push
      metadata:
        scalerAddress: keda-add-ons-http-external-scaler.keda:9090
        interceptorRoute: %[1]s
`, name)
}
