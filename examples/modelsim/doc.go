// Command modelsim simulates a model server. It needs no GPU and no model, takes a configurable
// time to load, and gives the same answer to the same question.
//
// It speaks these APIs, streaming and not:
//
//	POST /v1/chat/completions                             OpenAI chat
//	POST /v1/completions                                  OpenAI completions
//	POST /v1/responses                                    OpenAI responses
//	POST /v1/messages                                     Anthropic
//	POST /api/chat, /api/generate                         Ollama
//	POST /v2/chat                                         Cohere
//	POST /v1beta/models/MODEL:generateContent             Gemini
//	POST /v1beta/models/MODEL:streamGenerateContent?alt=sse
//	POST /openai/v1/…, /openai/deployments/MODEL/…        OpenAI's, as Groq and Azure have them
//	GET  /v1/models, /healthz, /metrics (modelsim_requests_total)
//
// The answer is a sentence that repeats the question. A request with tools gets a call of the
// named tool or of the first one, unless it ends with the result of a tool. A request for JSON
// gets JSON. Arguments and JSON fit the schema of the request; without one they are
// {"answer":"Berlin"}. In a schema every string is "Berlin", every number 1, every boolean true,
// every enum its first value.
//
// The model may have any name. The end of the name selects how the request goes wrong, because
// every client can choose a name:
//
//	sim-429   fails with that status (400 to 599), as the API words errors:
//	          "simulated failure 429", with the code "simulated_429" in OpenAI's
//	sim-html  fails with status 502 and an HTML page, like a proxy before it
//	sim-json  answers with JSON although a stream was asked for
//	sim-cut   cuts the connection in the middle of the answer
//	sim-gzip  compresses the answer, whatever the client accepts
//	sim-hang  never answers
//	sim-slow  pauses 200ms before each token
//
// Every flag can be given by the environment too: MODELSIM_LOAD=300ms is
// -load=300ms.
package main
