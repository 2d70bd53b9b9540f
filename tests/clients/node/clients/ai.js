// The AI SDK with the providers that can be given a base URL.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, Output, streamObject, streamText } from 'ai'
import { question, shape, tool } from '../question.js'

// Otherwise warnings are written to the console.
globalThis.AI_SDK_LOG_WARNINGS = false

const usageOf = ({ inputTokens: input, outputTokens: output }) => ({ input, output })

const errors = {
  refused: ({ message, status }) => ({ class: 'APICallError', message, statusCode: status }),
  cut: { class: 'APICallError', message: 'Failed to process successful response', cause: { message: 'terminated' } },
  left: { name: 'AbortError' },
}

/** A client of the model that a provider makes. */
const client = (traits, modelOf) => ({
  ...errors,
  ...traits,
  async stream({ base, model, variant, signal, saw }) {
    const call = { model: modelOf(base, model), prompt: question, maxRetries: 0, abortSignal: signal, onError() {} }
    if (variant === 'object') {
      const result = streamObject({ ...call, schema: shape })
      await drain(result.fullStream, saw)
      const [object, usage, finish, { id }] = await Promise.all([result.object, result.usage, result.finishReason, result.response])
      return { id, usage: usageOf(usage), choices: [{ object, finish }] }
    }
    const result = streamText({
      ...call,
      ...(variant === 'tools' && { tools: { [tool.name]: { inputSchema: jsonSchema(tool.parameters) } } }),
      ...(variant === 'structured' && { output: Output.object({ schema: shape }) }),
    })
    await drain(result.fullStream, saw)
    return textAnswer({
      text: await result.text,
      reasoningText: await result.reasoningText,
      toolCalls: await result.toolCalls,
      output: variant === 'structured' ? await result.output : undefined,
      usage: await result.usage,
      finishReason: await result.finishReason,
      response: await result.response,
    })
  },
  async whole({ base, model }) {
    const { text, toolCalls, usage, finishReason, response } = await generateText({ model: modelOf(base, model), prompt: question, maxRetries: 0 })
    return textAnswer({ text, toolCalls, usage, finishReason, response })
  },
})

const textAnswer = ({ text, reasoningText: reasoning, toolCalls, output: object, usage, finishReason: finish, response }) => ({
  id: response.id,
  usage: usageOf(usage),
  choices: [{ text: text || undefined, reasoning, object, finish, calls: toolCalls.map(({ toolName: name, input: args }) => ({ name, args })) }],
})

// Errors are parts of the stream, and so is the end by one's own signal.
async function drain(parts, saw) {
  for await (const part of parts) {
    if (part.type === 'error') throw part.error
    if (part.type === 'abort') throw new DOMException(part.reason ?? 'aborted', 'AbortError')
    if (part.type === 'text-delta') saw(part.text ?? part.textDelta)
  }
}

const apiKey = 'none'
const openAI = (base) => createOpenAI({ baseURL: `${base}/v1`, apiKey })

const variants = ['tools', 'structured', 'object']

// An error that is the first event is thrown as that of a response, and a later
// one is the object that the API sent.
const called = ({ message, code }, data = { code }) => ({ class: 'APICallError', message, data })
const sent = ({ message, code }) => ({ message, code, type: 'server_error' })

export const openAIChat = client(
  {
    variants,
    content: true,
    firstId: 'data',
    failed: (failure) => (failure.shown ? sent(failure) : called(failure)),
  },
  (base, model) => openAI(base).chat(model),
)

export const openAICompletions = client(
  { variants: [], firstId: 'always', failed: called },
  (base, model) => openAI(base).completion(model),
)

export const openAIResponses = client(
  { variants, failed: (failure) => called(failure, { error: { code: failure.code } }) },
  (base, model) => openAI(base).responses(model),
)

export const compatible = client(
  {
    variants,
    content: true,
    reasoning: /^Waking the model\.\.+\n\n---\n\n$/,
    firstId: 'data',
    failed: sent,
  },
  (base, model) =>
    createOpenAICompatible({ name: 'compatible', baseURL: `${base}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true })(model),
)

export const anthropic = client(
  {
    variants,
    // The API has no codes; the SDK makes a status of the type.
    failed: ({ message, status }) => ({ class: 'APICallError', message, statusCode: status === 502 ? 500 : 529 }),
  },
  (base, model) => createAnthropic({ baseURL: `${base}/v1`, apiKey })(model),
)
