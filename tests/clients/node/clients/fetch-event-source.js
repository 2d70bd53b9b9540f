// Microsoft's fetch-event-source: a chat in a browser that asks by POST. It
// delivers a message at each blank line, and asks again after an error unless
// its user throws.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { question } from '../question.js'
import { shortly, waiting } from '../route.js'

// The library needs a browser's globals, by which others know one.
const require = createRequire(import.meta.resolve('@microsoft/fetch-event-source/lib/cjs/index.js'))
const window = { fetch, setTimeout, clearTimeout }
const document = { hidden: false, addEventListener() {}, removeEventListener() {} }
const library = {}
new Function('window', 'document', 'exports', 'require', readFileSync(require.resolve('./fetch.js'), 'utf8'))(window, document, library, require)

/** What a program gets that gives up at the first error. */
async function messages(url, body) {
  const all = []
  const method = body && { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  try {
    await library.fetchEventSource(url, {
      ...method,
      onmessage: ({ event, data }) => all.push(event ? `${event}: ${data}` : data),
      onerror(error) {
        throw error
      },
    })
  } catch (error) {
    all.push(error)
  }
  return all
}

/** Every message of a chat is JSON, as programs take it. */
function textOf(all) {
  assert.equal(all.pop(), '[DONE]')
  return all.map((message) => JSON.parse(message).choices[0].delta.content ?? '').join('')
}

const cold = { status: 200, cold: 'true' }
const chat = { model: 'simulated', stream: true, messages: [{ role: 'user', content: question }] }
// The app's own "retry:" is a message too.
const events = ['', 'message: event 1', 'message: event 2', 'last: event 3']

const add = (spec, flags, run, app) => ({ app, spec, flags, run })
const ofEvents = (run, spec = waiting('Content'), delay = 500) => add(spec, [`delay=${delay}`], run, 'apps/events.js')

/** The app was asked once. */
const once = async (base) => assert.equal(await (await fetch(`${base}/asked`)).text(), '1')

export const cases = {
  chat: add(waiting('None'), ['-load=500ms'], async ({ base, wire }) => {
    assert.match(textOf(await messages(`${base}/v1/chat/completions`, chat)), /^You said: "Hello"/)
    wire.saw(cold)
    assert.equal(await (await fetch(`${base}/metrics`)).text(), 'modelsim_requests_total 1\n')
  }),
  'chat with text': add(waiting('Content'), ['-load=500ms'], async ({ base, wire }) => {
    assert.match(textOf(await messages(`${base}/v1/chat/completions`, chat)), /^Waking the model\.\.+\n\n---\n\nYou said: "Hello"/)
    wire.saw(cold)
  }),
  '503': add(waiting('None'), ['-load=500ms'], async ({ base, wire }) => {
    const all = await messages(`${base}/v1/chat/completions`, { ...chat, model: 'sim-503' })
    assert.equal(JSON.parse(all.pop()).error.message, 'simulated failure 503')
    wire.saw(cold)
  }),
  events: ofEvents(async ({ base, wire }) => {
    assert.deepEqual(await messages(`${base}/events?end`), events)
    wire.saw(cold)
    await once(base)
  }),
  'events by POST': ofEvents(async ({ base, wire }) => {
    assert.deepEqual(await messages(`${base}/events?end`, { question }), events)
    wire.saw(cold)
    await once(base)
  }),
  cut: ofEvents(async ({ base, wire }) => {
    const all = await messages(`${base}/events?first=cut`, { question })
    assert.deepEqual([all.pop().message, ...all], ['terminated', ...events.slice(0, 2)])
    wire.saw(cold)
    await once(base)
  }),
  'events fail': ofEvents(async ({ base, wire }) => {
    const [failure, error] = await messages(`${base}/events?always=503`, { question })
    assert.match(failure, /^error: \{"status":503,"message":"/)
    assert.equal(error.message, 'terminated')
    wire.saw(cold)
    await once(base)
  }),
  timeout: ofEvents(async ({ base, wire }) => {
    const [failure, error] = await messages(`${base}/events`, { question })
    assert.match(failure, /^error: \{"status":504,"message":"/)
    assert.equal(error.message, 'terminated')
    wire.saw(cold)
  }, shortly + waiting('Content'), 3600000),
}
