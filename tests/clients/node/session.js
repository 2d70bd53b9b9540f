// A client of the Model Context Protocol that does what it reads, a command on each line:
// "connect" begins a session with the server at the URL, "who" calls its tool. It writes what
// came of it.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createInterface } from 'node:readline'

const url = new URL(process.argv[2])
let client

const commands = {
  async connect() {
    client = new Client({ name: 'test', version: '1' })
    await client.connect(new StreamableHTTPClientTransport(url))
    return ''
  },
  async who() {
    const result = await client.callTool({ name: 'who', arguments: {} })
    return result.content[0].text
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  let result
  try {
    result = { said: await commands[line]() }
  } catch (error) {
    result = { error: String(error) }
  }
  console.log(JSON.stringify(result))
}
process.exit()
