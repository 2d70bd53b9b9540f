// The SDK of Cohere: an event stream of its own, which gets comments.
import { CohereClientV2 } from 'cohere-ai'
import { question, shape, tool } from '../question.js'
import { z } from 'zod'

const client = (base) => new CohereClientV2({ environment: base, token: 'none', maxRetries: 0 })

const params = (model, variant) => ({
  model,
  messages: [{ role: 'user', content: question }],
  ...(variant === 'tools' && { tools: [{ type: 'function', function: { name: tool.name, parameters: tool.parameters } }] }),
  ...(variant === 'structured' && { responseFormat: { type: 'json_object', jsonSchema: z.toJSONSchema(shape) } }),
})

const usageOf = (usage) => usage && { input: usage.tokens.inputTokens, output: usage.tokens.outputTokens }

export const chat = {
  variants: ['tools', 'structured'],
  // It knows no event for a failure, and fails at the first one.
  failed: () => ({ message: /Missing discriminant/ }),
  refused: ({ message, status }) => ({ class: 'ServiceUnavailableError', message: new RegExp(message), statusCode: status }),
  cut: { class: 'TypeError', message: 'terminated' },
  left: { name: 'AbortError' },
  json: { message: /Missing discriminant/ },
  async stream({ base, model, variant, signal, saw }) {
    const answer = { choices: [{ text: '', calls: [] }] }
    const [choice] = answer.choices
    for await (const { type, id, delta } of await client(base).chatStream(params(model, variant), { abortSignal: signal })) {
      switch (type) {
        case 'message-start':
          answer.id = id
          break
        case 'content-delta':
          saw(delta.message.content.text)
          choice.text += delta.message.content.text
          break
        case 'tool-call-start':
          choice.calls.push({ name: delta.message.toolCalls.function.name, args: '' })
          break
        case 'tool-call-delta':
          choice.calls.at(-1).args += delta.message.toolCalls.function.arguments
          break
        case 'message-end':
          choice.finish = delta.finishReason
          answer.usage = usageOf(delta.usage)
      }
    }
    for (const call of choice.calls) call.args = JSON.parse(call.args)
    return answer
  },
  async whole({ base, model }) {
    const { id, message, finishReason: finish, usage } = await client(base).chat(params(model))
    return { id, usage: usageOf(usage), choices: [{ text: message.content[0].text, finish }] }
  },
}
