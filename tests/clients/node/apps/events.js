// A source of three events that takes as long to start as delay=milliseconds
// says. The query of /events says how it fails: always=503, always=json,
// first=503, first=cut. With end it ends after them.
import { createServer } from 'node:http'
import { start } from './app.js'

let asked = 0

function events(request, response, query) {
  asked++
  const failure = query.get('always') ?? (asked === 1 && query.get('first'))
  if (failure === '503') return response.writeHead(503).end('simulated failure 503')
  if (failure === 'json') return response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}')
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  response.write('retry: 100\n\n')
  for (let id = Number(request.headers['last-event-id'] ?? 0) + 1; id <= 3; id++) {
    response.write(`id: ${id}\nevent: ${id === 3 ? 'last' : 'message'}\ndata: event ${id}\n\n`)
    if (failure === 'cut') return response.write('data: half of an', () => response.destroy())
  }
  if (query.has('end')) response.end()
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  if (pathname === '/events') return events(request, response, searchParams)
  response.end(pathname === '/asked' ? String(asked) : '')
})

start(() => server.listen(process.env.PORT, process.env.HOST))
