// The SDK of Anthropic.
import Anthropic from '@anthropic-ai/sdk'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import { question, shape, tool } from '../question.js'

const client = (base) => new Anthropic({ baseURL: base, apiKey: 'none', maxRetries: 0 })

const params = (model, variant) => ({
  model,
  max_tokens: 1000,
  messages: [{ role: 'user', content: question }],
  ...(variant === 'tools' && { tools: [{ name: tool.name, input_schema: tool.parameters }] }),
  ...(variant === 'structured' && { output_config: { format: zodOutputFormat(shape) } }),
})

const answer = ({ id, content, stop_reason: finish, usage, parsed_output }) => ({
  id,
  usage: { input: usage.input_tokens, output: usage.output_tokens },
  choices: [
    {
      text: content.find(({ type }) => type === 'text')?.text,
      object: parsed_output ?? undefined,
      calls: content.filter(({ type }) => type === 'tool_use').map(({ name, input }) => ({ name, args: input })),
      finish,
    },
  ],
})

// The API has no codes; the type says as much.
const typeOf = (status) => (status === 502 ? 'api_error' : 'overloaded_error')

export const messages = {
  variants: ['tools', 'structured'],
  failed: ({ message, status }) => ({ class: 'APIError', apiMessage: message, type: typeOf(status) }),
  refused: ({ message, status }) => ({ class: 'ServiceUnavailableError', apiMessage: message, type: typeOf(status), status }),
  cut: { class: 'AnthropicError', message: 'terminated' },
  left: { class: 'APIUserAbortError', message: 'Request was aborted.' },
  async stream({ base, model, variant, signal, saw }) {
    const stream = client(base).messages.stream(params(model, variant), { signal })
    stream.on('text', saw)
    return answer(await stream.finalMessage())
  },
  async whole({ base, model }) {
    return answer(await client(base).messages.create(params(model)))
  },
}
