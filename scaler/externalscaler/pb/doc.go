// Package pb is the gRPC contract between KEDA and an external scaler, generated from
// externalscaler.proto. It must not hold anything else.
package pb
