// The SDK of the Model Context Protocol. Its requests are held: only the server
// knows whether it answers with a stream.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import assert from 'node:assert/strict'
import { one, shortly, waiting } from '../route.js'

const spec = waiting('Content') // there is no place for text
const waking = ['delay=500']
const asleep = ['delay=3600000']

const cold = { status: 200, cold: 'true' }

async function using(transport, run) {
  const client = new Client({ name: 'test', version: '1' })
  try {
    await client.connect(transport)
    await run(client)
  } finally {
    await client.close()
  }
}

const call = (client, text) => client.callTool({ name: 'echo', arguments: { text } })

const streamable = (path) => (base) => new StreamableHTTPClientTransport(new URL(base + path))
const older = (path) => (base) => new SSEClientTransport(new URL(base + path))

const add = (spec, flags, run) => ({ app: 'apps/mcp.js', spec, flags, run })

/** The first request is held, and the tool is called once. */
const answers = (transport) =>
  add(spec, waking, async ({ base, wire }) => {
    await using(transport(base), async (client) => {
      assert.deepEqual((await client.listTools()).tools.map(({ name }) => name), ['echo'])
      assert.deepEqual(await call(client, 'Hello'), { content: [{ type: 'text', text: 'You said: Hello' }] })
      const failed = await call(client, 'fail')
      assert.equal(failed.isError, true)
    })
    assert.equal(await (await fetch(`${base}/asked`)).text(), '2')
    wire.began(cold)
  })

const refuses = (spec, transport, expected) =>
  add(spec, asleep, ({ base }) => assert.rejects(using(transport(base), () => {}), expected))

export const cases = {
  stream: answers(streamable('/mcp')),
  json: answers(streamable('/json')),
  older: answers(older('/sse')),
  timeout: refuses(shortly + spec, streamable('/mcp'), { code: 504, message: /did not become ready in time/ }),
  crowded: add(one, asleep, async ({ base }) => {
    const first = new AbortController()
    const waiting = fetch(`${base}/v1/chat/completions`, { method: 'POST', body: '{"stream":true,"messages":[]}', signal: first.signal })
    await waiting
    await assert.rejects(using(streamable('/mcp')(base), () => {}), { code: 503, message: /too many requests are waiting/ })
    first.abort()
  }),
}
