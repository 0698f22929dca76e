import { request } from 'node:http'

/** A registry's response. The names of its headers are in lower case. */
export interface Answer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/**
 * Sends exactly these headers, without a default Accept.
 *
 * @param address `host:port`, or `name:password@host:port` to sign in by Basic
 */
export function ask(
  address: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Uint8Array,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const length = body === undefined ? {} : { 'content-length': String(body.length) }
  const { hostname, port, pathname, search, username, password } = new URL(path, `http://${address}`)
  const auth = username === '' ? {} : { auth: `${username}:${password}` }
  const options = {
    hostname,
    port,
    path: pathname + search,
    method,
    headers: { ...length, ...headers },
    ...auth,
  }
  const sent = request(options, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)])
      const { statusCode: status = 0 } = response
      resolve({ status, headers: Object.fromEntries(flat), body: Buffer.concat(chunks) })
    })
  })
  sent.on('error', reject)
  sent.end(body)
  return promise
}

/** Throws with the registry's message, unless the response has this status. */
export async function expectStatus(answer: Promise<Answer>, ...statuses: number[]): Promise<Answer> {
  const got = await answer
  if (statuses.includes(got.status)) return got
  throw new Error(`${got.status}, not ${statuses.join(' or ')}: ${got.body.toString()}`)
}
