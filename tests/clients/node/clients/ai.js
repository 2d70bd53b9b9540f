// The AI SDK with the providers that can be given a base URL.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createAnthropic as createAnthropic3 } from '@ai-sdk/anthropic-3'
import { createAzure } from '@ai-sdk/azure'
import { createCohere } from '@ai-sdk/cohere'
import { createGoogle } from '@ai-sdk/google'
import { createGroq } from '@ai-sdk/groq'
import { createMistral } from '@ai-sdk/mistral'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAI as createOpenAI3 } from '@ai-sdk/openai-3'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { createOpenAICompatible as createOpenAICompatible2 } from '@ai-sdk/openai-compatible-2'
import { createTogetherAI } from '@ai-sdk/togetherai'
import * as ai from 'ai'
import * as ai6 from 'ai-6'
import { createOllama } from 'ollama-ai-provider-v2'
import { question, shape, tool } from '../question.js'

// Otherwise warnings are written to the console.
globalThis.AI_SDK_LOG_WARNINGS = false

const usageOf = ({ inputTokens: input, outputTokens: output }) => ({ input, output })

const errors = {
  refused: ({ message, status }) => ({ class: 'APICallError', message, statusCode: status }),
  cut: { class: 'APICallError', message: 'Failed to process successful response', cause: { message: 'terminated' } },
  left: { name: 'AbortError' },
}

/** A client of the model that a provider makes, with a major version of the SDK. */
const client = ({ generateText, jsonSchema, Output, streamObject, streamText }, traits, modelOf) => ({
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

const variants = ['tools', 'structured', 'object']

// An error that is the first event is thrown as that of a response, and a later
// one is the object that the API sent.
const called = ({ message, code }, data = { code }) => ({ class: 'APICallError', message, data })
const sent = ({ message, code }) => ({ message, code, type: 'server_error' })

const reasoning = /^Waking the model\.\.+\n\n---\n\n$/
const chatTraits = { variants, content: true, long: true, firstId: 'data' }

/** A major version of the SDK with its providers. */
const major = (SDK, createOpenAI, createOpenAICompatible, createAnthropic) => {
  const openAI = (base) => createOpenAI({ baseURL: `${base}/v1`, apiKey })
  const chat = { ...chatTraits, failed: (failure) => (failure.shown ? sent(failure) : called(failure)) }
  return {
    chat: client(SDK, chat, (base, model) => openAI(base).chat(model)),
    completions: client(SDK, { variants: [], firstId: 'always', failed: called }, (base, model) => openAI(base).completion(model)),
    responses: client(
      SDK,
      { variants, long: true, failed: (failure) => called(failure, { error: { code: failure.code } }) },
      (base, model) => openAI(base).responses(model),
    ),
    compatible: client(SDK, { ...chatTraits, reasoning, failed: sent }, (base, model) =>
      createOpenAICompatible({ name: 'compatible', baseURL: `${base}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true })(model),
    ),
    anthropic: client(
      SDK,
      {
        variants,
        // The API has no codes; the SDK makes a status of the type.
        failed: ({ message, status }) => ({ class: 'APICallError', message, statusCode: status === 502 ? 500 : 529 }),
      },
      (base, model) => createAnthropic({ baseURL: `${base}/v1`, apiKey })(model),
    ),
  }
}

// What the SDK makes of an error that is none of the provider's API.
const refusedPlainly = ({ status }) => ({ class: 'APICallError', message: 'Service Unavailable', statusCode: status })

const newest = major(ai, createOpenAI, createOpenAICompatible, createAnthropic)

export const seven = {
  ...newest,
  azure: client(ai, { ...chatTraits, failed: newest.chat.failed }, (base, model) =>
    createAzure({ baseURL: `${base}/openai`, apiKey, useDeploymentBasedUrls: true }).chat(model),
  ),
  cohere: client(
    ai,
    {
      variants,
      ownId: true,
      // It knows no event for a failure, and says what it got.
      failed: ({ message }) => ({ message: new RegExp(`Type validation failed: .*${message}`) }),
      json: { message: /Type validation failed/ },
    },
    (base, model) => createCohere({ baseURL: `${base}/v2`, apiKey })(model),
  ),
  google: client(ai, { variants: ['tools', 'structured'], failed: ({ message }) => ({ class: 'StreamProviderError', message }) }, (base, model) =>
    createGoogle({ baseURL: `${base}/v1beta`, apiKey })(model),
  ),
  groq: client(ai, { ...chatTraits, failed: ({ message }) => ({ message, type: 'server_error' }) }, (base, model) =>
    createGroq({ baseURL: `${base}/openai/v1`, apiKey })(model),
  ),
  mistral: client(
    ai,
    { ...chatTraits, failed: ({ message }) => ({ message: new RegExp(`Type validation failed: .*${message}`) }), refused: refusedPlainly },
    (base, model) => createMistral({ baseURL: `${base}/v1`, apiKey })(model),
  ),
  ollama: client(
    ai,
    {
      variants: ['tools', 'structured'],
      content: true,
      reasoning,
      ownId: true,
      // The SDK does not read the error, and notices that the connection is cut.
      failed: () => ({ class: 'TypeError', message: 'terminated' }),
      refused: refusedPlainly,
      cut: { class: 'TypeError', message: 'terminated' },
    },
    (base, model) => createOllama({ baseURL: `${base}/api` })(model),
  ),
  together: client(ai, { ...chatTraits, variants: ['tools'], reasoning, failed: sent }, (base, model) =>
    createTogetherAI({ baseURL: `${base}/v1`, apiKey })(model),
  ),
}

export const six = major(ai6, createOpenAI3, createOpenAICompatible2, createAnthropic3)
