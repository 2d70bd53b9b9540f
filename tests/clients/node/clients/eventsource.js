// EventSource, as browsers have it. It knows no errors of a backend: it
// connects again after a cut, and gives up on whatever is no stream of events.
import assert from 'node:assert/strict'
import { setTimeout as patience } from 'node:timers/promises'
import { EventSource } from 'eventsource'
import { one, shortly, waiting, whenFree } from '../route.js'

const app = 'apps/events.js'
const spec = waiting('Content') // there is no place for text

const cold = { status: 200, cold: 'true' }
const warm = { status: 200, cold: 'false' }

const opened = 'open'
const event = (id) => (id === 3 ? `last 3: event 3` : `message ${id}: event ${id}`)
const reconnecting = 'reconnecting'
const closed = (code) => `closed with ${code}`

/** What a user of a source sees, until the last event or the end. */
function seen(url) {
  const source = new EventSource(url)
  const all = []
  return new Promise((resolve) => {
    const end = () => resolve(all) ?? source.close()
    const note = ({ type, lastEventId, data }) => all.push(`${type} ${lastEventId}: ${data}`)
    source.onopen = () => all.push(opened)
    source.onmessage = note
    source.addEventListener('last', (event) => note(event) && end())
    source.onerror = ({ code }) => {
      all.push(source.readyState === EventSource.CLOSED ? closed(code) : reconnecting)
      if (source.readyState === EventSource.CLOSED) end()
    }
  })
}

/** What a source at a path sees, and how the requests are answered. */
const sees = (path, expected, ...responses) => async ({ base, wire }) => {
  assert.deepEqual(await seen(base + path), expected)
  wire.saw(...responses)
}

const answer = [opened, event(1), event(2), event(3)]

export const cases = {
  plain: { app, spec, flags: ['delay=500'], run: sees('/events', answer, cold) },
  503: { app, spec, flags: ['delay=500'], run: sees('/events?always=503', [opened, reconnecting, closed(503)], cold, { status: 503, cold: 'false' }) },
  '503 once': { app, spec, flags: ['delay=500'], run: sees('/events?first=503', [opened, reconnecting, ...answer], cold, warm) },
  json: { app, spec, flags: ['delay=500'], run: sees('/events?always=json', [opened, 'message : {}', reconnecting, closed(200)], cold, warm) },
  cut: { app, spec, flags: ['delay=500'], run: sees('/events?first=cut', [opened, event(1), reconnecting, opened, event(2), event(3)], cold, warm) },
  timeout: { app, spec: shortly + spec, flags: ['delay=7000'], run: patiently },
  leaves: { app, spec: one, flags: ['delay=4000'], run: leaves },
  crowded: { app, spec: one, flags: ['delay=3600000'], run: crowded },
}

// It connects again until the app is there.
async function patiently({ base }) {
  const all = (await seen(`${base}/events`)).join(', ')
  assert.match(all, new RegExp(`^(${opened}, ${reconnecting}, )+${answer.join(', ')}$`))
}

async function leaves({ base, wire }) {
  const source = new EventSource(`${base}/events`)
  await wire.answered
  await patience(100)
  source.close()
  assert.equal(await whenFree(`${base}/asked`), '0')
}

async function crowded({ base, wire }) {
  const first = new AbortController()
  await fetch(`${base}/events`, { headers: { Accept: 'text/event-stream' }, signal: first.signal })
  assert.deepEqual(await seen(`${base}/events`), [closed(503)])
  first.abort()
  wire.saw(cold, { status: 503, cold: 'true' })
}
