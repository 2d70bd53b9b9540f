// The routes of the cases.
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

/** What a route says while its backend wakes. */
export const waiting = (display, more = '') =>
  `coldStart: {${more}streamingCallback: {display: ${display}, message: "Waking the model.", keepaliveMessage: ".", interval: 100ms}}`

/** Only one may wait. */
export const one = waiting('None', 'maxPendingRequests: 1, ')

/** Before the rest of a spec: the wait is short. */
export const shortly = 'timeouts: {readiness: 5s}\n  '

/** The answer to a request that gets the only place as soon as it is free. */
export async function whenFree(url) {
  for (;;) {
    const response = await fetch(url)
    const text = await response.text()
    if (response.status !== 503) return text
    await pause(20)
  }
}

/**
 * Reads a stream that began after that of an SDK, until a data event has taken the
 * place of a comment, after 25 seconds, and a few more comments have come: those of
 * the SDK have come too. It does not go over the wire that is watched.
 */
export async function dataCame(base) {
  const { port, host } = new URL(base)
  const asked = request({ host: '127.0.0.1', port, agent: false, headers: { Host: host }, method: 'POST', path: '/v1/chat/completions' })
  asked.end('{"stream":true,"messages":[]}')
  const response = await new Promise((resolve, reject) => asked.on('response', resolve).on('error', reject))
  let more = 10
  for await (const line of createInterface({ input: response })) {
    if (more < 10 || line.startsWith('data:')) more--
    if (more === 0) break
  }
  for (const end of [asked, response]) end.on('error', () => {}).destroy()
}
