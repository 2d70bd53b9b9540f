// OpenAI's Agents SDK, with either of the APIs.
import { Agent, OpenAIProvider, Runner, setTracingDisabled } from '@openai/agents'
import OpenAI from 'openai'
import { question, shape } from '../question.js'

setTracingDisabled(true)

const client = (useResponses, traits) => {
  const ask = (base, model, variant, options) => {
    const modelProvider = new OpenAIProvider({ openAIClient: new OpenAI({ baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0 }), useResponses })
    const agent = new Agent({ name: 'agent', model, ...(variant === 'structured' && { outputType: shape }) })
    return new Runner({ modelProvider, tracingDisabled: true }).run(agent, question, options)
  }
  return {
    variants: ['structured'],
    long: true,
    failed: ({ message, code }) => ({ class: 'APIError', message, code }),
    refused: ({ message, status }) => ({ class: 'InternalServerError', message: `${status} ${message}`, status }),
    cut: { class: 'TypeError', message: 'terminated' },
    left: { name: 'AbortError' },
    ...traits,
    async stream({ base, model, variant, signal, saw }) {
      const result = await ask(base, model, variant, { stream: true, signal })
      for await (const { type, data } of result) {
        if (type === 'raw_model_stream_event' && data.type === 'output_text_delta' && data.delta) saw(data.delta)
      }
      await result.completed
      if (result.error) throw result.error
      signal?.throwIfAborted()
      return answer(result, variant)
    },
    async whole({ base, model }) {
      return answer(await ask(base, model))
    },
  }
}

const answer = ({ finalOutput, lastResponseId: id, rawResponses: [{ usage }] }, variant) => ({
  id,
  usage: { input: usage.inputTokens, output: usage.outputTokens },
  choices: [variant === 'structured' ? { object: finalOutput } : { text: finalOutput }],
})

export const chat = client(false, { content: true })
export const responses = client(true)
