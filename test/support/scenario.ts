import { expect, test } from 'bun:test'
import type { Named } from './content.ts'
import type { TestServer } from './server.ts'

/** A request and the expected response. What holds for every response is checked as well. */
export interface Scenario {
  name: string
  method?: string
  path: string
  headers?: Record<string, string>
  body?: string | Named
  status: number
  /** Headers that the response must have, with these values. */
  has?: Record<string, string | RegExp>
  /** Headers that it must not have. */
  lacks?: string[]
  /** The exact bytes, a part of the text, or the JSON. */
  content?: Named | Uint8Array | RegExp | object | ''
  /** The codes of the errors, in order. */
  codes?: string[]
  /** What the text must not contain. */
  hides?: RegExp
}

/** The error codes that the specification allows in a 4xx, and those of Docker schema 1. */
const CODES = new Set(
  (
    'BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID ' +
    'MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED TOOMANYREQUESTS ' +
    'MANIFEST_UNVERIFIED TAG_INVALID'
  ).split(' '),
)

/** Defines a test for each scenario, in order. */
export function runScenarios(server: () => TestServer, scenarios: readonly Scenario[]): void {
  test.each(scenarios.map((scenario) => [scenario.name, scenario] as const))('%s', async (_, scenario) => {
    await runScenario(server(), scenario)
  })
}

/** Runs a scenario; returns the response, whose body has been read. */
export async function runScenario(server: TestServer, scenario: Scenario): Promise<Response> {
  const { body } = scenario
  const response = await server.fetch(scenario.path, {
    method: scenario.method ?? 'GET',
    ...(scenario.headers && { headers: scenario.headers }),
    ...(body !== undefined && { body: typeof body === 'string' ? body : body.bytes }),
  })
  const bytes = await response.bytes()
  const text = new TextDecoder().decode(bytes)
  expect([response.status, response.status === scenario.status ? '' : text]).toEqual([scenario.status, ''])
  for (const [name, value] of Object.entries(scenario.has ?? {})) {
    const found = response.headers.get(name) ?? `no ${name}`
    if (typeof value === 'string') expect(found).toBe(value)
    else expect(found).toMatch(value)
  }
  for (const name of scenario.lacks ?? []) expect([name, response.headers.get(name)]).toEqual([name, null])
  expectContent(bytes, text, scenario.content)
  if (scenario.codes !== undefined) expect(codesOf(text)).toEqual(scenario.codes)
  if (scenario.hides !== undefined) expect(text).not.toMatch(scenario.hides)
  expectEveryAnswer(server, scenario, response, text)
  return response
}

/** Returns the error codes of a response. */
export function codesOf(text: string): string[] {
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] }
  return errors.map(({ code }) => code)
}

function expectContent(bytes: Uint8Array, text: string, content: Scenario['content']): void {
  if (content === undefined) return
  if (content === '') expect(text).toBe('')
  else if (content instanceof RegExp) expect(text).toMatch(content)
  else if (content instanceof Uint8Array) expect(Buffer.from(bytes).equals(content)).toBe(true)
  else if ('bytes' in content && 'digest' in content) expectContent(bytes, text, content.bytes)
  else expect(JSON.parse(text)).toEqual(content)
}

/** Checks what holds for every response of /v2. */
function expectEveryAnswer(server: TestServer, { method }: Scenario, response: Response, text: string): void {
  expect(response.headers.get('x-request-id')).toMatch(/^[\w-]{8,}$/)
  expect(response.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
  if (method === 'HEAD') expect(text).toBe('')
  if (response.status < 400 || method === 'HEAD') return
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(codesOf(text).filter((code) => !CODES.has(code))).toEqual([])
  for (const { message } of JSON.parse(text).errors) expect(message).not.toBe('')
  for (const secret of [server.data, 'src/', '.ts:', 'bunfs']) expect(text).not.toContain(secret)
}
