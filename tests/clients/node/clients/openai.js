// The SDK of OpenAI: chat, completions, responses.
import OpenAI from 'openai'
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import OpenAI6 from 'openai-6'
import * as helpers6 from 'openai-6/helpers/zod'
import { question, shape, tool } from '../question.js'

const errors = {
  failed: ({ message, code }) => ({ class: 'APIError', message, code, type: 'server_error' }),
  refused: ({ message, status, code }) => ({ class: 'InternalServerError', message: `${status} ${message}`, status, code }),
  cut: { class: 'OpenAIError', message: 'terminated' },
  left: { class: 'APIUserAbortError', message: 'Request was aborted.' },
}

const usageOf = (usage) => usage && { input: usage.prompt_tokens, output: usage.completion_tokens }

const chatAnswer = ({ id, usage, choices }) => ({
  id,
  usage: usageOf(usage),
  choices: choices.map(({ message, finish_reason: finish }) => ({
    text: message.content ?? undefined,
    reasoning: message.reasoning_content,
    calls: message.tool_calls?.map(({ function: f }) => ({ name: f.name, args: f.parsed_arguments ?? JSON.parse(f.arguments) })),
    object: message.parsed ?? undefined,
    finish,
  })),
})

const responsesAnswer = ({ id, status, usage, output, output_text, output_parsed }) => ({
  id,
  usage: { input: usage.input_tokens, output: usage.output_tokens },
  choices: [
    {
      text: output_text || undefined,
      object: output_parsed ?? undefined,
      calls: output.filter(({ type }) => type === 'function_call').map(({ name, arguments: args }) => ({ name, args: JSON.parse(args) })),
      finish: status,
    },
  ],
})

/** A major version of the SDK. */
const major = (SDK, zodResponseFormat, zodTextFormat) => {
  const client = (base) => new SDK({ baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0 })

  const chatParams = (model, variant) => ({
    model,
    messages: [{ role: 'user', content: question }],
    ...(variant === 'tools' && {
      tools: [{ type: 'function', function: { name: tool.name, parameters: tool.parameters, strict: true } }],
    }),
    ...(variant === 'structured' && { response_format: zodResponseFormat(shape, 'answer') }),
    ...(variant === 'several' && { n: 2 }),
    ...(variant === 'usage' && { stream_options: { include_usage: true } }),
  })

  /** The helper accumulates, and parses what is structured. */
  const chat = {
    ...errors,
    variants: ['tools', 'structured', 'several', 'usage'],
    content: true,
    long: true,
    // The helper adds up what it knows; of other members of a delta the last one stays.
    reasoning: /^\n\n---\n\n$/,
    async stream({ base, model, variant, signal, saw }) {
      const stream = client(base).chat.completions.stream(chatParams(model, variant), { signal })
      stream.on('content', saw)
      return chatAnswer(await stream.finalChatCompletion())
    },
    async whole({ base, model }) {
      return chatAnswer(await client(base).chat.completions.create(chatParams(model)))
    },
  }

  /** There is no helper: the user adds the chunks. */
  const completions = {
    ...errors,
    variants: ['several', 'usage'],
    cut: { class: 'TypeError', message: 'terminated' },
    left: { name: 'AbortError' },
    async stream({ base, model, variant, signal, saw }) {
      const stream = await client(base).completions.create(
        {
          model,
          prompt: question,
          stream: true,
          ...(variant === 'several' && { n: 2 }),
          ...(variant === 'usage' && { stream_options: { include_usage: true } }),
        },
        { signal },
      )
      const answer = { choices: [] }
      for await (const { id, usage, choices } of stream) {
        answer.id = id
        answer.usage = usageOf(usage) ?? answer.usage
        for (const { index, text, finish_reason: finish } of choices) {
          saw(text)
          const choice = (answer.choices[index] ??= { text: '' })
          choice.text += text
          choice.finish = finish
        }
      }
      signal?.throwIfAborted() // a stream that its user aborts ends without an error
      return answer
    },
    async whole({ base, model }) {
      const { id, choices } = await client(base).completions.create({ model, prompt: question })
      return { id, choices: choices.map(({ text, finish_reason: finish }) => ({ text, finish })) }
    },
  }

  const responsesParams = (model, variant) => ({
    model,
    input: question,
    ...(variant === 'tools' && { tools: [{ type: 'function', name: tool.name, parameters: tool.parameters, strict: true }] }),
    ...(variant === 'structured' && { text: { format: zodTextFormat(shape, 'answer') } }),
  })

  const responses = {
    ...errors,
    long: true,
    variants: ['tools', 'structured'],
    async stream({ base, model, variant, signal, saw }) {
      const stream = client(base).responses.stream(responsesParams(model, variant), { signal })
      stream.on('response.output_text.delta', ({ delta }) => saw(delta))
      return responsesAnswer(await stream.finalResponse())
    },
    async whole({ base, model }) {
      return responsesAnswer(await client(base).responses.create(responsesParams(model)))
    },
  }

  return { chat, completions, responses }
}

export const seven = major(OpenAI, zodResponseFormat, zodTextFormat)
export const six = major(OpenAI6, helpers6.zodResponseFormat, helpers6.zodTextFormat)
