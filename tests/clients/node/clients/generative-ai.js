// The older SDK of Google for Gemini, which @langchain/google-genai still uses.
import { GoogleGenerativeAI } from '@google/generative-ai'
import assert from 'node:assert/strict'
import { question, tool } from '../question.js'
import { waiting } from '../route.js'

const modelOf = (base, model) => new GoogleGenerativeAI('none').getGenerativeModel({ model }, { baseUrl: base })

const params = (variant) => ({
  contents: [{ role: 'user', parts: [{ text: question }] }],
  ...(variant === 'tools' && { tools: [{ functionDeclarations: [{ name: tool.name, parameters: tool.parameters }] }] }),
})

// The SDK adds the chunks.
const answer = ({ candidates, usageMetadata: usage }) => ({
  usage: usage && { input: usage.promptTokenCount, output: usage.candidatesTokenCount },
  choices: candidates.map(({ content: { parts }, finishReason: finish }) => ({
    text: parts.map(({ text }) => text ?? '').join(''),
    calls: parts.flatMap(({ functionCall: call }) => (call ? [{ name: call.name, args: call.args }] : [])),
    finish,
  })),
})

export const gemini = {
  variants: ['tools'],
  // The SDK does not read the event, and fails at the rest.
  failed: () => ({ class: 'GoogleGenerativeAIError', message: '[GoogleGenerativeAI Error]: Failed to parse stream' }),
  refused: ({ message, status }) => ({ class: 'GoogleGenerativeAIFetchError', message: new RegExp(message), status }),
  cut: { class: 'GoogleGenerativeAIError', message: '[GoogleGenerativeAI Error]: Error reading from the stream' },
  left: { class: 'GoogleGenerativeAIError', message: '[GoogleGenerativeAI Error]: Error reading from the stream' },
  async stream({ base, model, variant, signal, saw }) {
    const { stream, response } = await modelOf(base, model).generateContentStream(params(variant), { signal })
    response.catch(() => {}) // the stream has the error too
    for await (const chunk of stream) if (chunk.candidates?.[0].content?.parts?.[0]?.text) saw(chunk.text())
    return answer(await response)
  },
  async whole({ base, model }) {
    return answer((await modelOf(base, model).generateContent(params())).response)
  },
}

/** A history has two questions, each with its answer. */
export function remembers(history) {
  assert.deepEqual(
    history.map(({ role, parts }) => ({ role, text: parts.map(({ text }) => text).join('') })).map(({ role, text }) => `${role}: ${text.slice(0, 20)}`),
    ['user: Hello', 'model: You said: "Hello". T', 'user: And now?', 'model: You said: "And now?"'],
  )
}

/** A chat remembers what was said, also if it had to wait. */
export const cases = {
  history: {
    spec: waiting('Content'), // there is no place for text
    flags: ['-load=500ms'],
    async run({ base, wire }) {
      const chat = modelOf(base, 'simulated').startChat()
      const ask = async (text) => {
        const { stream, response } = await chat.sendMessageStream(text)
        for await (const _ of stream);
        return (await response).text()
      }
      assert.match(await ask(question), /^You said: "Hello"/)
      assert.match(await ask('And now?'), /^You said: "And now\?"/)
      wire.saw({ status: 200, cold: 'true' }, { status: 200, cold: 'false' })
      remembers(await chat.getHistory())
    },
  },
}
