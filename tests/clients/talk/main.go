// Command talk asks a question by OpenAI's SDK, and prints what comes as it comes. It is a client
// for tests that need one in a process of its own.
//
//	talk -url http://llm.example.com/v1 -via 127.0.0.1:8080 "Are you there?"
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	url := flag.String("url", "", "base URL of the API")
	via := flag.String("via", "", "address to connect to in place of the URL's host; by default that")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := talk(ctx, *url, *via, strings.Join(flag.Args(), " "))
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "talk:", err)
		os.Exit(1)
	}
}

// talk prints the answer to a question.
func talk(ctx context.Context, url, via, question string) error {
	transport := &http.Transport{}
	if via != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, via)
		}
	}
	sdk := openai.NewClient(option.WithBaseURL(url), option.WithAPIKey("none"), option.WithHTTPClient(&http.Client{Transport: transport}))
	stream := sdk.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model: "any", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)},
	})
	defer func() { _ = stream.Close() }()
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			fmt.Print(choice.Delta.Content)
		}
	}
	if err := stream.Err(); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
