// LangChain with the models of OpenAI, and with those of others.
import { ChatAnthropic } from '@langchain/anthropic'
import { ChatGoogleGenerativeAI } from '@langchain/google-genai'
import { ChatGroq } from '@langchain/groq'
import { ChatOllama } from '@langchain/ollama'
import { ChatOpenAI } from '@langchain/openai'
import { z } from 'zod'
import { question, shape, tool as named } from '../question.js'
import { gemini as old } from './generative-ai.js'

const tool = { name: named.name, description: named.description, schema: named.parameters }

// The errors are those of OpenAI's SDK.
const errors = {
  failed: ({ message, code }) => ({ class: 'APIError', message, code, type: 'server_error' }),
  refused: ({ message, status, code }) => ({ class: 'InternalServerError', message: `${status} ${message}`, status, code }),
  cut: { class: 'TypeError', message: 'terminated' },
  left: { name: 'AbortError' },
}

const client = (traits, options) => {
  const modelOf = (base, model, more) =>
    new ChatOpenAI({ model, apiKey: 'none', configuration: { baseURL: `${base}/v1` }, maxRetries: 0, streamUsage: false, ...options, ...more })
  return {
    ...errors,
    ...traits,
    async stream({ base, model, variant, signal, saw }) {
      const llm = modelOf(base, model, { streamUsage: variant === 'usage', ...(variant === 'several' && { n: 2 }) })
      if (variant === 'several') return several(llm, signal)
      if (variant === 'structured' && !options.useResponsesApi) return structured(llm, signal)
      const runnable = variant === 'tools' ? llm.bindTools([tool]) : llm
      const format = variant === 'structured' && { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: z.toJSONSchema(shape) } } }
      let message
      for await (const chunk of await runnable.stream(question, { signal, ...format })) {
        if (chunk.text) saw(chunk.text)
        message = message?.concat(chunk) ?? chunk
      }
      return answer(message)
    },
    async whole({ base, model }) {
      return answer(await modelOf(base, model).invoke(question))
    },
  }
}

const answer = ({ id, text, tool_calls, usage_metadata: usage, additional_kwargs: more, response_metadata: about }) => ({
  id,
  usage: usage && { input: usage.input_tokens, output: usage.output_tokens },
  choices: [
    {
      text: text || undefined,
      reasoning: more.reasoning_content,
      calls: tool_calls?.map(({ name, args }) => ({ name, args })),
      finish: about.finish_reason ?? about.status,
    },
  ],
})

// The stream does not tell choices apart; callbacks do.
async function several(llm, signal) {
  const choices = []
  const handleLLMNewToken = (token, { completion }) => {
    choices[completion] = { text: (choices[completion]?.text ?? '') + token }
  }
  for await (const _ of await llm.stream(question, { signal, callbacks: [{ handleLLMNewToken }] }));
  return { choices }
}

// Each part is the object so far. With the responses API this works only
// without a stream (1.5.8), however quick the model is.
async function structured(llm, signal) {
  let object
  for await (object of await llm.withStructuredOutput(shape, { name: 'answer', method: 'jsonSchema' }).stream(question, { signal }));
  return { choices: [{ object }] }
}

export const chat = client(
  {
    variants: ['tools', 'structured', 'several', 'usage'],
    content: true,
    long: true,
    reasoning: /^Waking the model\.\.+\n\n---\n\n$/,
    firstId: 'data',
  },
  {},
)

export const responses = client({ variants: ['tools', 'structured'], long: true }, { useResponsesApi: true })

// What the models of others have in common. Their errors are those of the SDKs below.
const other = (traits, modelOf) => ({
  variants: ['tools'],
  cut: { class: 'TypeError', message: 'terminated' },
  left: { name: 'AbortError' },
  ...traits,
  async stream({ base, model, variant, signal, saw }) {
    const llm = modelOf(base, model)
    let message
    for await (const chunk of await (variant === 'tools' ? llm.bindTools([tool]) : llm).stream(question, { signal })) {
      if (chunk.text) saw(chunk.text)
      message = message?.concat(chunk) ?? chunk
    }
    return answer(message)
  },
  async whole({ base, model }) {
    return answer(await modelOf(base, model).invoke(question))
  },
})

export const anthropic = other(
  {
    failed: ({ message }) => ({ class: 'APIError', message: new RegExp(message) }),
    refused: ({ message, status }) => ({ class: 'InternalServerError', message: new RegExp(message), status }),
    addsUsage: true,
  },
  (base, model) => new ChatAnthropic({ model, apiKey: 'none', anthropicApiUrl: base, maxRetries: 0 }),
)

export const google = other(
  { failed: old.failed, refused: old.refused, cut: old.cut },
  (base, model) => new ChatGoogleGenerativeAI({ model, apiKey: 'none', baseUrl: base, maxRetries: 0 }),
)

export const groq = other(
  {
    content: true,
    long: true,
    failed: ({ message, code }) => ({ class: 'APIError', message, error: { code } }),
    refused: ({ message, status }) => ({ class: 'InternalServerError', message: new RegExp(message), status }),
  },
  (base, model) => new ChatGroq({ model, apiKey: 'none', baseUrl: base, maxRetries: 0 }),
)

export const ollama = other(
  {
    content: true,
    reasoning: /^Waking the model\.\.+\n\n---\n\n$/,
    failed: ({ message }) => ({ class: 'Error', message }),
    refused: ({ message, status }) => ({ class: 'ResponseError', message, status_code: status }),
    // Without a stream it asks for one all the same, and adds it up.
    streamsWhole: true,
  },
  (base, model) => new ChatOllama({ model, baseUrl: base, maxRetries: 0 }),
)
