// LlamaIndex with the models of OpenAI.
import { OpenAI } from '@llamaindex/openai'
import { question, tool } from '../question.js'

const modelOf = (base, model) => new OpenAI({ model, apiKey: 'none', baseURL: `${base}/v1`, maxRetries: 0 })

const messages = [{ role: 'user', content: question }]

const tools = [{ metadata: { name: tool.name, description: tool.description, parameters: tool.parameters }, call() {} }]

const callsOf = (calls) => calls?.map(({ name, input: args }) => ({ name, args: typeof args === 'string' ? JSON.parse(args) : args }))

export const chat = {
  variants: ['tools'],
  content: true,
  long: true,
  failed: ({ message, code }) => ({ class: 'APIError', message, code }),
  refused: ({ message, status }) => ({ class: 'InternalServerError', message: `${status} ${message}`, status }),
  cut: { class: 'TypeError', message: 'terminated' },
  left: undefined, // there is no signal
  async stream({ base, model, variant, saw }) {
    let text = ''
    let calls
    let last
    for await (last of await modelOf(base, model).chat({ messages, stream: true, ...(variant === 'tools' && { tools }) })) {
      if (last.delta) saw(last.delta)
      text += last.delta
      calls = last.options?.toolCall ?? calls
    }
    return { id: last.raw.id, choices: [{ text, calls: callsOf(calls), finish: last.raw.choices[0].finish_reason }] }
  },
  async whole({ base, model }) {
    const { message, raw } = await modelOf(base, model).chat({ messages })
    return { id: raw.id, choices: [{ text: message.content, finish: raw.choices[0].finish_reason }] }
  },
}
