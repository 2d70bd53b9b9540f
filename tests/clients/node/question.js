// What every client asks for and what a user of any SDK gets to know, in terms
// that the SDKs share. The model is examples/modelsim.
import { z } from 'zod'

export const question = 'Hello'

/** The shape of a structured answer. */
export const shape = z.object({ answer: z.string(), confidence: z.number() })

/** The only tool. */
export const tool = {
  name: 'weather',
  description: 'The weather of a city',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' }, unit: { type: 'string' } },
    required: ['city', 'unit'],
    additionalProperties: false,
  },
}

/**
 * A client: one API of one SDK.
 *
 * @typedef {object} Client
 * @property {(ask: Ask) => Promise<Answer>} stream
 * @property {(ask: Omit<Ask, 'saw'>) => Promise<Answer>} whole asks without a stream
 * @property {string[]} variants of the request that the API has
 * @property {boolean} [content] waiting text can be shown
 * @property {boolean} [long] the events change after a long wait
 * @property {RegExp} [reasoning] what the user sees of waiting text that is shown as reasoning
 * @property {'data' | 'always'} [firstId] the SDK reports the id of the first chunk, which is empty if that is ours: with data, or always
 * @property {boolean} [ownId] the SDK invents ids where there are none
 * @property {boolean} [addsUsage] the SDK adds the counts of all events
 * @property {boolean} [streamsWhole] the SDK streams what it returns whole
 * @property {object} [json] members of the error for an answer in JSON; absent if it becomes a stream
 * @property {(failure: Failure) => object} failed members of the error for a failure after the commit
 * @property {(failure: Failure) => object} refused members of the error for a failure before it
 * @property {object} cut members of the error for an answer that was cut
 * @property {object} [left] members of the error for the user's own signal; absent if the SDK takes none
 *
 * @typedef {object} Ask
 * @property {string} base of the route, without a path
 * @property {string} model
 * @property {string} [variant]
 * @property {AbortSignal} [signal]
 * @property {(text: string) => void} saw is told each piece of text as it comes
 *
 * @typedef {object} Failure
 * @property {string} message
 * @property {number} status
 * @property {string} code
 * @property {boolean} [shown] waiting text came first
 */

/**
 * What a user has in the end. Members that an API does not have are undefined.
 *
 * @typedef {object} Answer
 * @property {string} [id]
 * @property {Choice[]} choices
 * @property {{input: number, output: number}} [usage]
 *
 * @typedef {object} Choice
 * @property {string} [text]
 * @property {string} [reasoning]
 * @property {{name: string, args: object}[]} [calls]
 * @property {object} [object] a structured answer, if the SDK parses it
 * @property {string} [finish]
 */
