// The SDKs of Google for Gemini.
import { GoogleGenAI } from '@google/genai'
import { GoogleGenAI as GoogleGenAI2 } from '@google/genai-2'
import { z } from 'zod'
import assert from 'node:assert/strict'
import { question, shape, tool } from '../question.js'
import { waiting } from '../route.js'
import { remembers } from './generative-ai.js'

const params = (model, variant, signal) => ({
  model,
  contents: question,
  config: {
    abortSignal: signal,
    ...(variant === 'tools' && { tools: [{ functionDeclarations: [{ name: tool.name, parametersJsonSchema: tool.parameters }] }] }),
    ...(variant === 'structured' && { responseMimeType: 'application/json', responseJsonSchema: z.toJSONSchema(shape) }),
    ...(variant === 'several' && { candidateCount: 2 }),
  },
})

const usageOf = (usage) => usage && { input: usage.promptTokenCount, output: usage.candidatesTokenCount }

// There is no helper: the user adds the chunks.
function add(answer, { responseId, usageMetadata, candidates = [] }, saw = () => {}) {
  answer.id = responseId ?? answer.id
  answer.usage = usageOf(usageMetadata) ?? answer.usage
  for (const { index = 0, content, finishReason } of candidates) {
    const choice = (answer.choices[index] ??= { text: '', calls: [] })
    choice.finish = finishReason ?? choice.finish
    for (const { text, functionCall } of content?.parts ?? []) {
      if (text) saw(text)
      choice.text += text ?? ''
      if (functionCall) choice.calls.push({ name: functionCall.name, args: functionCall.args })
    }
  }
  return answer
}

const names = { 502: 'UNAVAILABLE', 503: 'UNAVAILABLE', 504: 'DEADLINE_EXCEEDED' }

// The whole error is the text of the SDK's.
const errorOf = ({ message, status }) => JSON.stringify({ error: { code: status, message, status: names[status] } })

/** A major version of the SDK. */
const major = (SDK) => {
  const client = (base) => new SDK({ apiKey: 'none', httpOptions: { baseUrl: base } })
  return {
    variants: ['tools', 'structured', 'several'],
    failed: (failure) => ({ class: 'ApiError', message: `got status: ${names[failure.status]}. ${errorOf(failure)}`, status: failure.status }),
    refused: (failure) => ({ class: 'ApiError', message: errorOf(failure), status: failure.status }),
    cut: { class: 'TypeError', message: 'terminated' },
    left: { name: 'AbortError' },
    async stream({ base, model, variant, signal, saw }) {
      const answer = { choices: [] }
      for await (const chunk of await client(base).models.generateContentStream(params(model, variant, signal))) add(answer, chunk, saw)
      return answer
    },
    async whole({ base, model }) {
      return add({ choices: [] }, await client(base).models.generateContent(params(model)))
    },
  }
}

export const three = major(GoogleGenAI)
export const two = major(GoogleGenAI2)

/** A chat remembers what was said, also if it had to wait. */
const history = (SDK) => ({
  spec: waiting('Content'), // there is no place for text
  flags: ['-load=500ms'],
  async run({ base, wire }) {
    const chat = new SDK({ apiKey: 'none', httpOptions: { baseUrl: base } }).chats.create({ model: 'simulated' })
    for (const message of [question, 'And now?']) for await (const _ of await chat.sendMessageStream({ message }));
    wire.saw({ status: 200, cold: 'true' }, { status: 200, cold: 'false' })
    for (const curated of [false, true]) {
      const turns = chat.getHistory(curated)
      assert.deepEqual(turns.filter(({ role, parts }) => role === 'model' && parts?.every(({ text }) => text === '')), [], 'keepalives are turns')
      remembers(merged(turns))
    }
  },
})

// The history has each chunk as a content of its own.
function merged(history) {
  const turns = []
  for (const { role, parts } of history) {
    if (turns.at(-1)?.role !== role) turns.push({ role, parts: [] })
    turns.at(-1).parts.push(...(parts ?? []))
  }
  return turns
}

export const cases = { history: history(GoogleGenAI), 'history of version 2': history(GoogleGenAI2) }
