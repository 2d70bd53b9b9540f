// gRPC's own library for Node. A call is held, and fails with a status of gRPC.
import grpc from '@grpc/grpc-js'
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { one, shortly, waiting } from '../route.js'

const json = { serialize: (value) => Buffer.from(JSON.stringify(value)), deserialize: (bytes) => JSON.parse(bytes) }

const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: json.serialize,
  requestDeserialize: json.deserialize,
  responseSerialize: json.serialize,
  responseDeserialize: json.deserialize,
})

export const methods = {
  echo: method('Echo', false, false),
  count: method('Count', false, true),
  talk: method('Talk', true, true),
}

const Client = grpc.makeGenericClientConstructor(methods, 'Echo')

/** Runs a function with a client of a route. */
async function using(base, run) {
  const { port, host } = new URL(base)
  const client = new Client(`ipv4:127.0.0.1:${port}`, grpc.credentials.createInsecure(), { 'grpc.default_authority': host })
  try {
    return await run(client)
  } finally {
    client.close()
  }
}

const echo = (client, message, options = {}) =>
  new Promise((resolve, reject) => client.echo(message, options, (error, answer) => (error ? reject(error) : resolve(answer))))

/** All messages of a stream, and its status if that is not OK. */
async function drain(call) {
  const all = []
  try {
    for await (const message of call) all.push(message)
  } catch ({ code, details }) {
    all.push({ code, details })
  }
  return all
}

const fails = (promise, code, details) =>
  assert.rejects(promise, (error) => {
    assert.deepEqual({ code: error.code, details: error.details }, { code, details })
    return true
  })

const { status } = grpc
const expired = 'the service did not become ready in time'

const add = (spec, flags, run) => ({ app: 'apps/grpc.js', grpc: true, spec, flags, run: ({ base }) => using(base, run) })
const spec = waiting('Content') // there is no place for text
const waking = ['delay=500']
const asleep = ['delay=3600000']

export const cases = {
  unary: add(spec, waking, async (client) => {
    assert.deepEqual(await echo(client, { text: 'Hello' }), { text: 'Hello', calls: 1 })
    assert.deepEqual(await echo(client, { text: 'again' }), { text: 'again', calls: 2 })
  }),
  stream: add(spec, waking, async (client) => assert.deepEqual(await drain(client.count({})), [{ n: 1 }, { n: 2 }, { n: 3 }])),
  duplex: add(spec, waking, async (client) => {
    const call = client.talk()
    call.write({ n: 1 })
    call.write({ n: 2 })
    call.end()
    assert.deepEqual(await drain(call), [{ n: 1 }, { n: 2 }])
  }),
  failure: add(spec, waking, async (client) => {
    // Asleep, and then awake.
    for (let i = 0; i < 3; i++) await fails(echo(client, { fail: status.NOT_FOUND }), status.NOT_FOUND, 'simulated failure')
  }),
  'failure of a stream': add(spec, waking, async (client) =>
    assert.deepEqual(await drain(client.count({ fail: status.ABORTED })), [{ n: 1 }, { n: 2 }, { n: 3 }, { code: status.ABORTED, details: 'simulated failure' }]),
  ),
  timeout: add(shortly + spec, asleep, (client) => fails(echo(client, {}), status.DEADLINE_EXCEEDED, expired)),
  'timeout of a stream': add(shortly + spec, asleep, async (client) =>
    assert.deepEqual(await drain(client.count({})), [{ code: status.DEADLINE_EXCEEDED, details: expired }]),
  ),
  crowded: add(one, asleep, async (client) => {
    const waiting = client.count({})
    const ended = drain(waiting)
    // One of the two calls has the place.
    const second = echo(client, {})
    assert.deepEqual(
      await Promise.race([ended.then(([failure]) => failure), second.catch(({ code, details }) => ({ code, details }))]),
      { code: status.UNAVAILABLE, details: 'too many requests are waiting for this service to start' },
    )
    waiting.cancel()
    second.catch(() => {})
  }),
  leaves: add(one, ['delay=2000'], async (client) => {
    const left = client.count({})
    const ended = drain(left)
    await pause(100)
    left.cancel()
    assert.equal((await ended)[0].code, status.CANCELLED)
    for (;;) {
      // The next one gets the place, and is the first that the server sees.
      const answer = await echo(client, {}).catch(({ code }) => code)
      if (answer !== status.UNAVAILABLE) return assert.deepEqual(answer, { calls: 1 })
      await pause(20)
    }
  }),
  deadline: add(spec, asleep, async (client) => {
    await assert.rejects(echo(client, {}, { deadline: Date.now() + 300 }), { code: status.DEADLINE_EXCEEDED })
  }),
}
