// Every client × what it asks for × what becomes of it. Each case has a route of
// its own, so that each meets a cold start.
import assert from 'node:assert/strict'
import { setTimeout as patience } from 'node:timers/promises'
import * as agents from './clients/agents.js'
import * as ai from './clients/ai.js'
import * as anthropic from './clients/anthropic.js'
import * as chat from './clients/chat.js'
import * as cohere from './clients/cohere.js'
import * as eventsource from './clients/eventsource.js'
import * as genai from './clients/genai.js'
import * as fetchEventSource from './clients/fetch-event-source.js'
import * as generativeAI from './clients/generative-ai.js'
import * as grpc from './clients/grpc.js'
import * as langchain from './clients/langchain.js'
import * as limits from './clients/limits.js'
import * as llamaindex from './clients/llamaindex.js'
import * as mcp from './clients/mcp.js'
import * as ollama from './clients/ollama.js'
import * as openai from './clients/openai.js'
import * as retries from './clients/retries.js'
import * as usechat from './clients/usechat.js'
import { question } from './question.js'
import { dataCame, one, shortly, waiting, whenFree } from './route.js'

/** @type {Record<string, import('./question.js').Client>} */
const clients = {
  'openai-chat': openai.seven.chat,
  'openai-completions': openai.seven.completions,
  'openai-responses': openai.seven.responses,
  'openai-6-chat': openai.six.chat,
  'openai-6-completions': openai.six.completions,
  'openai-6-responses': openai.six.responses,
  'agents-chat': agents.chat,
  'agents-responses': agents.responses,
  anthropic: anthropic.messages,
  'ai-openai-chat': ai.seven.chat,
  'ai-openai-completions': ai.seven.completions,
  'ai-openai-responses': ai.seven.responses,
  'ai-compatible': ai.seven.compatible,
  'ai-anthropic': ai.seven.anthropic,
  'ai-azure': ai.seven.azure,
  'ai-cohere': ai.seven.cohere,
  'ai-google': ai.seven.google,
  'ai-groq': ai.seven.groq,
  'ai-mistral': ai.seven.mistral,
  'ai-ollama': ai.seven.ollama,
  'ai-together': ai.seven.together,
  'ai-6-openai-chat': ai.six.chat,
  'ai-6-openai-completions': ai.six.completions,
  'ai-6-openai-responses': ai.six.responses,
  'ai-6-compatible': ai.six.compatible,
  'ai-6-anthropic': ai.six.anthropic,
  'langchain-chat': langchain.chat,
  'langchain-responses': langchain.responses,
  'langchain-anthropic': langchain.anthropic,
  'langchain-google': langchain.google,
  'langchain-groq': langchain.groq,
  'langchain-ollama': langchain.ollama,
  llamaindex: llamaindex.chat,
  'ollama-chat': ollama.chat,
  'ollama-generate': ollama.generate,
  gemini: genai.three,
  'gemini-2': genai.two,
  'gemini-old': generativeAI.gemini,
  groq: chat.groq,
  together: chat.together,
  mistral: chat.mistral,
  cohere: cohere.chat,
}

// Those that have cases of their own.
const others = {
  eventsource,
  'fetch-event-source': fetchEventSource,
  gemini: genai,
  'gemini-old': generativeAI,
  grpc,
  limits,
  mcp,
  retries,
  usechat,
}

/**
 * A case: the route's spec, the flags of its model or another app instead, and
 * what is done. The wire has seen what went over it. If the case is gated its app
 * is not started before wake is called. A long one waits most of its time.
 *
 * @typedef {{base: string, wire: import('./wire.js').Wire, wake: () => void}} On
 * @type {Map<string, {spec: string, flags?: string[], app?: string, grpc?: boolean, gated?: boolean, long?: boolean, run: (on: On) => Promise<void>}>}
 */
export const cases = new Map()

const separator = '\n\n---\n\n'

const waking = ['-load=500ms']
const asleep = ['-load=1h']

for (const [name, client] of Object.entries(clients)) {
  const add = (label, spec, flags, run, more) => cases.set(`${name}/${label}`, { spec, flags, run, ...more })
  const shows = (label, spec, options) => add(label, spec, waking, (on) => answers(client, on, { ...options, shown: 'Content' }), { gated: true })

  add('plain', waiting('None'), waking, (on) => answers(client, on))
  for (const variant of client.variants) {
    // Text is shown where it does no harm, and withheld otherwise.
    if (variant === 'usage' && client.content) shows(variant, waiting('Content'), { variant })
    else add(variant, waiting('Content'), waking, (on) => answers(client, on, { variant }))
  }
  add('whole', waiting(client.streamsWhole ? 'None' : 'Content'), waking, (on) => answersWhole(client, on))
  if (client.content) {
    shows('content', waiting('Content'))
    add('reasoning', waiting('Reasoning'), waking, (on) => answers(client, on, { shown: 'Reasoning' }))
  }

  for (const shown of client.content ? [false, true] : [false]) {
    const spec = waiting(shown ? 'Content' : 'None')
    const after = shown ? ' after text' : ''
    const failure = (message, status, code = String(status)) => client.failed({ message, status, code, shown })
    add(`503${after}`, spec, waking, (on) => fails(client, on, 'sim-503', failure('simulated failure 503', 503, 'simulated_503')))
    add(`timeout${after}`, shortly + spec, asleep, (on) => fails(client, on, 'simulated', failure('the service did not become ready in time', 504)))
    add(`cut${after}`, spec, waking, (on) => fails(client, on, 'sim-cut', client.cut))
    if (shown) shows('json after text', spec, { model: 'sim-json' })
    else if (client.json) add('json', spec, waking, (on) => fails(client, on, 'sim-json', client.json))
    else add('json', spec, waking, (on) => answers(client, on, { model: 'sim-json' }))
  }
  if (client.left) add('leaves', one, waking, (on) => leaves(client, on), { gated: true })
  add('crowded', one, asleep, (on) => crowded(client, on))
  if (client.long) {
    const failure = client.failed({ message: 'simulated failure 503', status: 503, code: 'simulated_503', shown: client.long === 'chat' })
    add('long', waiting('None'), waking, (on) => afterData(on, answers(client, on, { long: true })), { gated: true, long: true })
    add('503 after long', waiting('None'), waking, (on) => afterData(on, fails(client, on, 'sim-503', failure)), { gated: true, long: true })
  }
}
for (const [name, { cases: more }] of Object.entries(others)) {
  for (const [label, rest] of Object.entries(more)) cases.set(`${name}/${label}`, rest)
}

/** The model loads only when a data event has come in place of a comment. */
async function afterData({ base, wire, wake }, result) {
  result.catch(() => {}) // it is awaited below
  await wire.answered
  await dataCame(base)
  wake()
  return result
}

/** A cold answer is what the model says when it is awake, and before it what was to be shown. */
async function answers(client, { base, wire, wake }, { model = 'simulated', variant, shown, long } = {}) {
  const pieces = []
  const saw = (text) => {
    // Who shows the message only with the answer sees neither.
    if (shown === 'Content' && pieces.length === 0) wake()
    pieces.push(text)
  }
  const cold = plain(await client.stream({ base, model, variant, saw }))
  const warm = plain(await client.stream({ base, model: 'simulated', variant, saw() {} }))
  wire.saw({ status: 200, cold: 'true' }, { status: 200, cold: 'false' })

  const [choice] = cold.choices
  if (shown === 'Content') {
    const [before, answer, ...rest] = choice.text.split(separator)
    assert.match(before, /^Waking the model\.\.+$/, 'the user reads the message and keepalives')
    assert.deepEqual(rest, [], 'there is one separator')
    assert.equal(pieces[0], 'Waking the model.')
    choice.text = answer
  }
  if (shown === 'Reasoning' && client.reasoning) {
    assert.match(choice.reasoning, client.reasoning)
    delete choice.reasoning
  }
  const converted = model === 'sim-json'
  if (client.ownId) delete cold.id, delete warm.id
  if (client.firstId === 'always' || (client.firstId && (shown || converted || long))) {
    assert.equal(cold.id, undefined, 'the id of the first chunk is empty')
    delete warm.id
  } else if (converted && cold.id) {
    cold.id = warm.id // it was another request
  }
  if (converted && (client.addsUsage || !warm.usage?.input)) delete cold.usage, delete warm.usage // JSON has it unasked
  assert.deepEqual(cold, warm)
  fits(variant, warm)
}

/** An answer without what it does not have. */
const plain = (answer) => JSON.parse(JSON.stringify(answer, (_, value) => (value === '' || value?.length === 0 ? undefined : value)))

/** The model did what it was asked for. */
function fits(variant, { choices, usage }) {
  assert.equal(choices.length, variant === 'several' ? 2 : 1)
  for (const { text, calls, object } of choices) {
    switch (variant) {
      case 'tools':
        assert.deepEqual(calls, [{ name: 'weather', args: { city: 'Berlin', unit: 'Berlin' } }])
        break
      case 'structured':
      case 'object':
        assert.deepEqual(object ?? JSON.parse(text), { answer: 'Berlin', confidence: 1 })
        break
      default:
        assert.match(text, new RegExp(`^You said: ".*${question}.*"\\. This is a simulated model; .* token by token\\.`))
    }
  }
  if (variant === 'usage') assert.ok(usage.input > 0 && usage.output > 0, JSON.stringify(usage))
}

/** A request that does not stream is held and answered. */
async function answersWhole(client, { base, wire }) {
  const cold = await client.whole({ base, model: 'simulated' })
  const warm = await client.whole({ base, model: 'simulated' })
  if (client.ownId) delete cold.id, delete warm.id
  wire.saw({ status: 200, cold: 'true' }, { status: 200, cold: 'false' })
  assert.deepEqual(cold, warm)
  fits('plain', warm)
}

/** The user gets an error that says what it must. Nothing is asked twice. */
async function fails(client, { base, wire }, model, expected) {
  const error = await rejection(client.stream({ base, model, saw() {} }))
  wire.saw({ status: 200, cold: 'true' })
  has(error, expected)
}

/** Who leaves gives the place back, and the model never hears of it. */
async function leaves(client, { base, wire, wake }) {
  const controller = new AbortController()
  const left = rejection(client.stream({ base, model: 'simulated', signal: controller.signal, saw() {} }))
  await wire.answered
  await patience(100)
  controller.abort()
  has(await left, client.left)
  wake()
  assert.equal(await whenFree(`${base}/metrics`), 'modelsim_requests_total 0\n')
}

/** Who finds no place gets the error of the API with its real status. */
async function crowded(client, { base, wire }) {
  const first = new AbortController()
  const waiting = await fetch(`${base}/v1/chat/completions`, { method: 'POST', body: '{"stream":true,"messages":[]}', signal: first.signal })
  const error = await rejection(client.stream({ base, model: 'simulated', saw() {} }))
  // Until here somebody has to want the answer: else Node ends the request when it collects garbage.
  assert.equal(waiting.status, 200)
  first.abort()
  wire.saw({ status: 200, cold: 'true' }, { status: 503, cold: 'true' })
  has(error, client.refused({ message: 'too many requests are waiting for this service to start', status: 503, code: '503' }))
}

const rejection = (promise) =>
  promise.then(
    (answer) => assert.fail(`there is no error but an answer: ${JSON.stringify(answer)}`),
    (error) => error,
  )

/** An error has the given class and members. */
function has(error, expected) {
  const pick = (from, like) =>
    Object.fromEntries(
      Object.entries(like).map(([key, value]) => {
        const member = key === 'class' ? from?.constructor.name : from?.[key]
        if (value instanceof RegExp) return [key, value.test(member) ? value : member]
        return [key, value?.constructor === Object ? pick(member, value) : member]
      }),
    )
  assert.deepEqual(pick(error, expected), expected)
}
