// The limits that the SDKs themselves have: what ends when one has run out while
// the model still wakes. docs/llm-serving.md has their defaults.
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { GoogleGenAI as GoogleGenAI2 } from '@google/genai-2'
import { GoogleGenerativeAI } from '@google/generative-ai'
import { ChatOpenAI } from '@langchain/openai'
import { createOpenAI } from '@ai-sdk/openai'
import { streamText } from 'ai'
import { CohereClientV2 } from 'cohere-ai'
import Groq from 'groq-sdk'
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import OpenAI from 'openai'
import OpenAI6 from 'openai-6'
import Together from 'together-ai'
import { question } from '../question.js'
import { waiting } from '../route.js'

const model = 'simulated'
const messages = [{ role: 'user', content: question }]
const own = { apiKey: 'none', maxRetries: 0 }

async function drain(stream) {
  for await (const _ of await stream);
}

const completion = (SDK, path) => (base, timeout) => drain(new SDK({ ...own, baseURL: base + path, timeout }).chat.completions.create({ model, messages, stream: true }))
const content = (SDK) => (base, timeout) =>
  drain(new SDK({ ...own, httpOptions: { baseUrl: base, timeout } }).models.generateContentStream({ model, contents: question }))

async function parts(base, timeout) {
  const { fullStream } = streamText({ model: createOpenAI({ ...own, baseURL: `${base}/v1` }).chat(model), prompt: question, maxRetries: 0, timeout, onError() {} })
  for await (const { type, error } of fullStream) if (type === 'error' || type === 'abort') throw error ?? new Error(type)
}

// A limit of the head ends when the response begins, which is at once.
const head = {
  openai: completion(OpenAI, '/v1'),
  'openai-6': completion(OpenAI6, '/v1'),
  groq: completion(Groq, ''),
  together: completion(Together, '/v1'),
  anthropic: (base, timeout) => drain(new Anthropic({ ...own, baseURL: base, timeout }).messages.stream({ model, messages, max_tokens: 100 })),
  cohere: (base, timeout) => drain(new CohereClientV2({ environment: base, token: 'none', maxRetries: 0, timeoutInSeconds: timeout / 1000 }).chatStream({ model, messages })),
  langchain: (base, timeout) => drain(new ChatOpenAI({ model, ...own, timeout, configuration: { baseURL: `${base}/v1` } }).stream(question)),
}

// A limit of the whole response goes on, and keepalives do not help. That of Mistral's SDK
// is a signal that Node may collect before its time, so that
// it cannot be measured.
const whole = {
  gemini: content(GoogleGenAI),
  'gemini-2': content(GoogleGenAI2),
  'gemini-old': async (base, timeout) => {
    const { stream, response } = await new GoogleGenerativeAI('none').getGenerativeModel({ model }, { baseUrl: base, timeout }).generateContentStream(question)
    response.catch(() => {}) // the stream has the error too
    return drain(stream)
  },
  ai: (base, totalMs) => parts(base, { totalMs }),
}

const add = (ask, check) => ({
  spec: waiting('None'),
  flags: ['-load=1ms'],
  gated: true,
  long: true,
  async run({ base, wire, wake }) {
    for (let limit = 500; ; limit *= 2) {
      const asked = ask(base, limit).then(() => 'answered', () => 'failed')
      const begun = await Promise.race([wire.answered.then(() => true), asked.then(() => false)])
      if (!begun) continue // the machine is too busy for so short a limit
      await pause(2 * limit)
      wake()
      return assert.equal(await asked, check)
    }
  },
})

export const cases = {
  ...Object.fromEntries(Object.entries(head).map(([name, ask]) => [name, add(ask, 'answered')])),
  ...Object.fromEntries(Object.entries(whole).map(([name, ask]) => [name, add(ask, 'failed')])),
}
