// The SDK of Google for Gemini.
import { GoogleGenAI } from '@google/genai'
import { z } from 'zod'
import { question, shape, tool } from '../question.js'

const client = (base) => new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl: base } })

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

export const gemini = {
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
