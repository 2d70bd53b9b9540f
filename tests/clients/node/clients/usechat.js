// What the AI SDK's useChat sends: its default path is the one of Ollama's API.
// It is held.
import { DefaultChatTransport, readUIMessageStream } from 'ai'
import assert from 'node:assert/strict'
import { question } from '../question.js'
import { shortly, waiting } from '../route.js'

const spec = waiting('Content') // there is no place for text

async function answer(base, chatId) {
  const transport = new DefaultChatTransport({ api: `${base}/api/chat` })
  const messages = [{ id: 'q1', role: 'user', parts: [{ type: 'text', text: question }] }]
  const stream = await transport.sendMessages({ chatId, messages, trigger: 'submit-message', messageId: undefined, abortSignal: undefined })
  let last
  for await (last of readUIMessageStream({ stream }));
  return last
}

const add = (spec, flags, run) => ({ app: 'apps/usechat.js', spec, flags, run })

export const cases = {
  plain: add(spec, ['delay=500'], async ({ base, wire }) => {
    const { id, role, parts } = await answer(base, 'chat')
    assert.deepEqual({ id, role, texts: parts.map(({ text }) => text) }, { id: 'm1', role: 'assistant', texts: ['You said: Hello'] })
    wire.saw({ status: 200, cold: 'true' })
    assert.equal(await (await fetch(`${base}/asked`)).text(), '1')
  }),
  503: add(spec, ['delay=500'], async ({ base, wire }) => {
    await assert.rejects(answer(base, 'fail'), /simulated failure 503/)
    wire.saw({ status: 503, cold: 'true' })
  }),
  timeout: add(shortly + spec, ['delay=3600000'], async ({ base, wire }) => {
    await assert.rejects(answer(base, 'chat'), /did not become ready in time/)
    wire.saw({ status: 504, cold: 'true' })
  }),
}
