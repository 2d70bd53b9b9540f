// The routes of the cases.
import { setTimeout as pause } from 'node:timers/promises'

/** What a route says while its backend wakes. */
export const waiting = (display, more = '') =>
  `coldStart: {${more}streamingCallback: {display: ${display}, message: "Waking the model.", keepaliveMessage: ".", interval: 100ms}}`

/** Only one may wait. */
export const one = waiting('None', 'maxPendingRequests: 1, ')

/** Before the rest of a spec: the wait is short. */
export const shortly = 'timeouts: {readiness: 300ms}\n  '

/** The answer to a request that gets the only place as soon as it is free. */
export async function whenFree(url) {
  for (;;) {
    const response = await fetch(url)
    const text = await response.text()
    if (response.status !== 503) return text
    await pause(20)
  }
}
