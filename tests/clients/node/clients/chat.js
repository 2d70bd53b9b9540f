// The SDKs of those who speak OpenAI's chat API: Groq, Together, Mistral.
import { Mistral } from '@mistralai/mistralai'
import Groq from 'groq-sdk'
import Together from 'together-ai'
import { question, shape, tool } from '../question.js'
import { z } from 'zod'

const usageOf = (usage) => usage && { input: usage.prompt_tokens ?? usage.promptTokens, output: usage.completion_tokens ?? usage.completionTokens }

const argumentsOf = (args) => (typeof args === 'string' ? JSON.parse(args) : args)

// There is no helper: the user adds the chunks.
function add(answer, { id, usage, choices = [] }, saw) {
  answer.id ||= id
  answer.usage = usageOf(usage) ?? answer.usage
  for (const { index, delta, finish_reason: finish, finishReason = finish } of choices) {
    const choice = (answer.choices[index] ??= { text: '', reasoning: '', calls: [] })
    if (delta.content) saw(delta.content)
    choice.text += delta.content ?? ''
    choice.reasoning += delta.reasoning_content ?? ''
    choice.finish = finishReason ?? choice.finish
    for (const call of delta.tool_calls ?? delta.toolCalls ?? []) {
      const known = (choice.calls[call.index] ??= { name: '', args: '' })
      known.name ||= call.function.name
      known.args += call.function.arguments
    }
  }
}

async function added(stream, signal, saw) {
  const answer = { choices: [] }
  for await (const chunk of stream) add(answer, chunk.data ?? chunk, saw)
  signal?.throwIfAborted() // a stream that its user aborts ends without an error
  for (const { calls } of answer.choices) for (const call of calls) call.args = argumentsOf(call.args)
  return answer
}

const whole = ({ id, usage, choices }) => ({
  id,
  usage: usageOf(usage),
  choices: choices.map(({ message, finish_reason: finish, finishReason = finish }) => ({ text: message.content, finish: finishReason })),
})

const params = (model, variant) => ({
  model,
  messages: [{ role: 'user', content: question }],
  ...(variant === 'tools' && { tools: [{ type: 'function', function: { name: tool.name, parameters: tool.parameters } }] }),
  ...(variant === 'structured' && { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: z.toJSONSchema(shape) } } }),
  ...(variant === 'several' && { n: 2 }),
})

const traits = {
  variants: ['tools', 'structured', 'several'],
  content: true,
  long: true,
  reasoning: /^Waking the model\.\.+\n\n---\n\n$/,
}

// Groq's and Together's come from the generator that makes OpenAI's.
const generated = (clientOf) => ({
  ...traits,
  failed: ({ message, code }) => ({ class: 'APIError', error: { message, code, type: 'server_error' } }),
  refused: ({ message, status, code }) => ({ class: 'InternalServerError', status, error: { error: { message, code } } }),
  cut: { class: 'TypeError', message: 'terminated' },
  left: { name: 'AbortError' },
  async stream({ base, model, variant, signal, saw }) {
    return added(await clientOf(base).chat.completions.create({ ...params(model, variant), stream: true }, { signal }), signal, saw)
  },
  async whole({ base, model }) {
    return whole(await clientOf(base).chat.completions.create(params(model)))
  },
})

export const groq = generated((base) => new Groq({ baseURL: base, apiKey: 'none', maxRetries: 0 }))

export const together = generated((base) => new Together({ baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0 }))

const mistralClient = (base) => new Mistral({ serverURL: base, apiKey: 'none', retryConfig: { strategy: 'none' } })

const mistralParams = (model, variant) => ({
  ...params(model, variant),
  ...(variant === 'structured' && { responseFormat: { type: 'json_schema', jsonSchema: { name: 'answer', schemaDefinition: z.toJSONSchema(shape) } } }),
})

export const mistral = {
  // A call that comes in pieces, as OpenAI sends it, is none to the SDK.
  variants: ['structured', 'several'],
  content: true,
  long: true,
  // The SDK reads the error as a chunk that lacks what chunks have.
  failed: () => ({ class: 'ZodError' }),
  refused: ({ message, status }) => ({ class: 'SDKError', message: new RegExp(message), statusCode: status }),
  cut: { class: 'TypeError', message: 'terminated' },
  left: { name: 'AbortError' },
  async stream({ base, model, variant, signal, saw }) {
    return added(await mistralClient(base).chat.stream(mistralParams(model, variant), { fetchOptions: { signal } }), signal, saw)
  },
  async whole({ base, model }) {
    return whole(await mistralClient(base).chat.complete(mistralParams(model)))
  },
}
