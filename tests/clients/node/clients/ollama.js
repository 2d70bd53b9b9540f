// The SDK of Ollama.
import { Ollama } from 'ollama'
import { z } from 'zod'
import { question, shape, tool } from '../question.js'

const options = (variant) => ({
  ...(variant === 'tools' && { tools: [{ type: 'function', function: { name: tool.name, parameters: tool.parameters } }] }),
  ...(variant === 'structured' && { format: z.toJSONSchema(shape) }),
})

const messages = [{ role: 'user', content: question }]

const callsOf = (calls) => calls?.map(({ function: { name, arguments: args } }) => ({ name, args }))

const finished = ({ done_reason: finish, prompt_eval_count: input, eval_count: output }, choice) => ({
  usage: { input, output },
  choices: [{ ...choice, finish }],
})

const client = (base) => new Ollama({ host: base })

// There is no signal: a stream has a method, as soon as there is a stream.
async function* until(signal, asked) {
  const stream = await asked
  if (signal?.aborted) stream.abort()
  else signal?.addEventListener('abort', () => stream.abort())
  yield* stream
}

const traits = {
  content: true,
  reasoning: /^Waking the model\.\.+\n\n---\n\n$/,
  // The API's errors have a text and nothing else.
  failed: ({ message }) => ({ class: 'Error', message }),
  refused: ({ message, status }) => ({ class: 'ResponseError', message, status_code: status }),
  cut: { class: 'TypeError', message: 'terminated' },
  left: {}, // whatever the fetch of this Node throws
}

export const chat = {
  ...traits,
  variants: ['tools', 'structured'],
  async stream({ base, model, variant, signal, saw }) {
    let text = ''
    let reasoning = ''
    let calls
    let last
    for await (last of until(signal, client(base).chat({ model, messages, stream: true, ...options(variant) }))) {
      if (last.message.content) saw(last.message.content)
      text += last.message.content
      reasoning += last.message.thinking ?? ''
      calls = callsOf(last.message.tool_calls) ?? calls
    }
    return finished(last, { text, reasoning, calls })
  },
  async whole({ base, model }) {
    const last = await client(base).chat({ model, messages })
    return finished(last, { text: last.message.content })
  },
}

export const generate = {
  ...traits,
  variants: ['structured'],
  async stream({ base, model, variant, signal, saw }) {
    let text = ''
    let reasoning = ''
    let last
    for await (last of until(signal, client(base).generate({ model, prompt: question, stream: true, ...options(variant) }))) {
      if (last.response) saw(last.response)
      text += last.response
      reasoning += last.thinking ?? ''
    }
    return finished(last, { text, reasoning })
  },
  async whole({ base, model }) {
    const last = await client(base).generate({ model, prompt: question })
    return finished(last, { text: last.response })
  },
}
