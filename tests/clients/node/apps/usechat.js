// The server of a chat whose page uses the AI SDK's useChat.
import { createServer } from 'node:http'
import { start } from './app.js'

let asked = 0

const parts = [
  { type: 'start', messageId: 'm1' },
  { type: 'text-start', id: 't1' },
  { type: 'text-delta', id: 't1', delta: 'You said: ' },
  { type: 'text-delta', id: 't1', delta: 'Hello' },
  { type: 'text-end', id: 't1' },
  { type: 'finish' },
]

const server = createServer(async (request, response) => {
  if (request.url !== '/api/chat') return response.end(request.url === '/asked' ? String(asked) : '')
  asked++
  let body = ''
  for await (const chunk of request) body += chunk
  if (JSON.parse(body).id === 'fail') return response.writeHead(503).end('simulated failure 503')
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'x-vercel-ai-ui-message-stream': 'v1' })
  for (const part of parts) response.write(`data: ${JSON.stringify(part)}\n\n`)
  response.end('data: [DONE]\n\n')
})

start(() => server.listen(process.env.PORT, process.env.HOST))
