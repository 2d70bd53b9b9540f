// How often the SDKs ask again by themselves, with their own settings, after a
// failure in a stream that has begun. docs/llm-serving.md has it.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { GoogleGenerativeAI } from '@google/generative-ai'
import { ChatAnthropic } from '@langchain/anthropic'
import { ChatGoogleGenerativeAI } from '@langchain/google-genai'
import { ChatOllama } from '@langchain/ollama'
import { ChatOpenAI } from '@langchain/openai'
import { OpenAI as LlamaIndex } from '@llamaindex/openai'
import { Mistral } from '@mistralai/mistralai'
import { streamText } from 'ai'
import { CohereClientV2 } from 'cohere-ai'
import Groq from 'groq-sdk'
import assert from 'node:assert/strict'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import Together from 'together-ai'
import { question } from '../question.js'
import { waiting } from '../route.js'

const messages = [{ role: 'user', content: question }]
const apiKey = 'none'

async function drain(stream) {
  for await (const _ of await stream);
}

async function parts(model) {
  const { fullStream } = streamText({ model, prompt: question, onError() {} })
  for await (const { type, error } of fullStream) if (type === 'error') throw error
}

const never = {
  openai: (base, model) => drain(new OpenAI({ apiKey, baseURL: `${base}/v1` }).chat.completions.create({ model, messages, stream: true })),
  'openai responses': (base, model) => new OpenAI({ apiKey, baseURL: `${base}/v1` }).responses.stream({ model, input: question }).finalResponse(),
  anthropic: (base, model) => new Anthropic({ apiKey, baseURL: base }).messages.stream({ model, messages, max_tokens: 100 }).finalMessage(),
  groq: (base, model) => drain(new Groq({ apiKey, baseURL: base }).chat.completions.create({ model, messages, stream: true })),
  together: (base, model) => drain(new Together({ apiKey, baseURL: `${base}/v1` }).chat.completions.create({ model, messages, stream: true })),
  mistral: (base, model) => drain(new Mistral({ apiKey, serverURL: base }).chat.stream({ model, messages })),
  cohere: (base, model) => drain(new CohereClientV2({ token: 'none', environment: base }).chatStream({ model, messages })),
  ollama: (base, model) => drain(new Ollama({ host: base }).chat({ model, messages, stream: true })),
  gemini: (base, model) => drain(new GoogleGenAI({ apiKey, httpOptions: { baseUrl: base } }).models.generateContentStream({ model, contents: question })),
  'gemini-old': async (base, model) => {
    const { stream, response } = await new GoogleGenerativeAI(apiKey).getGenerativeModel({ model }, { baseUrl: base }).generateContentStream(question)
    response.catch(() => {}) // the stream has the error too
    return drain(stream)
  },
  'langchain openai': (base, model) => drain(new ChatOpenAI({ apiKey, model, configuration: { baseURL: `${base}/v1` } }).stream(question)),
  'langchain anthropic': (base, model) => drain(new ChatAnthropic({ apiKey, model, anthropicApiUrl: base }).stream(question)),
  'langchain google': (base, model) => drain(new ChatGoogleGenerativeAI({ apiKey, model, baseUrl: base }).stream(question)),
  'langchain ollama': (base, model) => drain(new ChatOllama({ model, baseUrl: base }).stream(question)),
  llamaindex: async (base, model) => drain(new LlamaIndex({ apiKey, model, baseURL: `${base}/v1` }).chat({ messages, stream: true })),
}

// They take an error that is the first event for the error of a response.
const again = {
  'ai openai': (base, model) => parts(createOpenAI({ apiKey, baseURL: `${base}/v1` }).chat(model)),
  'ai openai responses': (base, model) => parts(createOpenAI({ apiKey, baseURL: `${base}/v1` }).responses(model)),
  'ai anthropic': (base, model) => parts(createAnthropic({ apiKey, baseURL: `${base}/v1` })(model)),
}

// How often the backend is asked for a question that fails.
const asks = (ask, times) => ({
  spec: waiting('None'),
  flags: ['-load=500ms'],
  long: true,
  async run({ base }) {
    await assert.rejects(ask(base, 'sim-503'))
    assert.equal(await (await fetch(`${base}/metrics`)).text(), `modelsim_requests_total ${times}\n`)
  },
})

export const cases = {
  ...Object.fromEntries(Object.entries(never).map(([name, ask]) => [name, asks(ask, 1)])),
  ...Object.fromEntries(Object.entries(again).map(([name, ask]) => [name, asks(ask, 3)])),
}
