// A server of the Model Context Protocol with one tool, as a stream (/mcp), in
// JSON (/json), and in the way that came before (/sse). /asked counts its calls.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { createServer } from 'node:http'
import { z } from 'zod'
import { start } from './app.js'

let calls = 0

function serve() {
  const server = new McpServer({ name: 'echo', version: '1' })
  server.registerTool('echo', { inputSchema: { text: z.string() } }, async ({ text }) => {
    calls++
    if (text === 'fail') throw new Error('simulated failure')
    return { content: [{ type: 'text', text: `You said: ${text}` }] }
  })
  return server
}

const sessions = new Map() // of the older transport

const http = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  switch (pathname) {
    case '/mcp':
    case '/json': {
      const transport = new StreamableHTTPServerTransport({ enableJsonResponse: pathname === '/json' })
      response.on('close', () => transport.close())
      await serve().connect(transport)
      return transport.handleRequest(request, response)
    }
    case '/sse': {
      const transport = new SSEServerTransport('/messages', response)
      sessions.set(transport.sessionId, transport)
      return serve().connect(transport)
    }
    case '/messages':
      return sessions.get(searchParams.get('sessionId')).handlePostMessage(request, response)
  }
  response.end(pathname === '/asked' ? String(calls) : '')
})

start(() => http.listen(process.env.PORT, process.env.HOST))
