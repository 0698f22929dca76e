import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { OpenAPIV3 } from 'openapi-types'
import { formatDocument, OPENAPI_COPY } from '../../scripts/lib/openapi-copy.ts'
import { adminApi } from '../../src/app/administration.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { AdminContext } from '../../src/http/controller.ts'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { documentOf, schemasOf } from '../support/described.ts'
import { faultsOf } from '../support/json-schema.ts'

type Operation = OpenAPIV3.OperationObject & { 'x-access'?: string }
type Schema = OpenAPIV3.SchemaObject & Record<`x-${string}`, unknown>

let server: AccountsServer
let document: OpenAPIV3.Document
beforeAll(async () => {
  server = await startWithAccounts({ settings: { tls: 'off' } })
  document = await documentOf(server.url)
}, 60_000)
afterAll(() => server.stop())

/** Every operation, with the name to report for a fault. */
function operations(prefix = '/'): [name: string, operation: Operation, item: OpenAPIV3.PathItemObject][] {
  return Object.entries(document.paths).flatMap(([path, item]) => {
    const { parameters: _, ...methods } = item ?? {}
    if (!path.startsWith(prefix)) return []
    return Object.entries(methods).map(
      ([method, one]) =>
        [`${method.toUpperCase()} ${path}`, one as Operation, item ?? {}] as [
          string,
          Operation,
          OpenAPIV3.PathItemObject,
        ],
    )
  })
}

/** Expects no operation to have a fault. */
function faults(find: (operation: Operation, item: OpenAPIV3.PathItemObject) => string[], prefix?: string) {
  return operations(prefix).flatMap(([name, one, item]) =>
    find(one, item).map((fault) => `${name}: ${fault}`),
  )
}

test('openapi: the document is valid OpenAPI 3', async () => {
  expect(await new Validator().validate({ ...structuredClone(document) })).toEqual({ valid: true })
})

test('openapi: docs/openapi.json is the document, so that a review shows each change of the API', async () => {
  const copy = await Bun.file(OPENAPI_COPY).text()
  if ((await formatDocument(new URL(server.url).host)) !== copy)
    throw new Error(
      'the API differs from docs/openapi.json: write it with bun scripts/main.ts openapi, and review it',
    )
})

test('openapi: every route of the admin API is documented', async () => {
  const { config } = await loadConfig({ flags: { data: '/none' }, file: undefined, environment: {} })
  const { routes } = adminApi({
    accounts: {},
    content: { config, settingSources: {} },
  } as unknown as AdminContext)
  expect(routes.length).toBeGreaterThan(20)
  const written = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  const known = new Set(operations('/api/').map(([name]) => name))
  expect(written.filter((name) => !known.has(name))).toEqual([])
})

test('openapi: every operation has a unique id, a summary, a described tag, and says who may call it', () => {
  const tags = new Map(document.tags?.map(({ name, description }) => [name, description]))
  const ids = new Set<string>()
  expect(
    faults(({ operationId = '', summary = '', tags: [tag = ''] = [], security = [] }) => {
      const isNew = operationId !== '' && !ids.has(operationId)
      ids.add(operationId)
      return [
        ...(isNew ? [] : [`the id "${operationId}" is another's`]),
        ...(summary.length > 5 ? [] : ['no summary']),
        ...(tags.get(tag) ? [] : [`the tag "${tag}" is not described`]),
        ...(security.length > 0 ? [] : ['nothing of credentials']),
      ]
    }),
  ).toEqual([])
})

test('openapi: every admin operation declares its access, and its errors are problems', () => {
  expect(
    faults(({ 'x-access': access, description = '', responses }) => {
      const [refused, ...more] = ['401', '429', '500'].filter((status) => !responses[status])
      const others = Object.entries(responses).filter(([status]) => Number(status) >= 400)
      const wrong = others.filter(
        ([, one]) => !('application/problem+json' in ((one as OpenAPIV3.ResponseObject).content ?? {})),
      )
      return [
        ...(access ? [] : ['no access']),
        ...(description.includes('Access: ') ? [] : ['does not say who may call it']),
        ...(refused ? [`lacks ${[refused, ...more]}`] : []),
        ...wrong.map(([status]) => `${status} is no problem`),
      ]
    }, '/api/'),
  ).toEqual([])
})

test('openapi: every JSON body and required parameter has an example that matches its schema, and no other has one', () => {
  const components = schemasOf(document)
  const check = (at: string, schema: Schema | undefined, example: unknown) =>
    example === undefined ? [`${at}: no example`] : faultsOf(example, schema ?? {}, components, at)
  expect(
    faults(({ parameters = [], requestBody, responses }, item) => {
      const given = [...(item.parameters ?? []), ...parameters] as OpenAPIV3.ParameterObject[]
      const bodies = [['body', requestBody], ...Object.entries(responses)] as [
        string,
        OpenAPIV3.ResponseObject,
      ][]
      return [
        // Pages that send requests fill in what has an example, and optional parameters can exclude each other.
        ...given.flatMap(({ name, schema, example, required }) => {
          if (required) return check(name, schema as Schema, example)
          return example === undefined ? [] : [`${name}: is optional, and has an example`]
        }),
        ...bodies.flatMap(([at, body]) =>
          Object.entries(body?.content ?? {}).flatMap(([type, { schema, example }]) => {
            if (!type.endsWith('json') && !type.endsWith('urlencoded')) return []
            return check(at, schema as Schema, example ?? exampleBehind(schema as Schema))
          }),
        ),
      ]
    }),
  ).toEqual([])
})

test('openapi: no schema accepts anything or is an empty object', () => {
  const components = Object.values(schemasOf(document))
  const bodies = operations().flatMap(([, { parameters = [], requestBody, responses }]) => [
    ...parameters.map((one) => (one as OpenAPIV3.ParameterObject).schema),
    ...[requestBody, ...Object.values(responses)].flatMap((body) =>
      Object.entries((body as OpenAPIV3.ResponseObject | undefined)?.content ?? {})
        // Stored bytes of any type.
        .filter(([type]) => type !== '*/*')
        .map(([, { schema }]) => schema),
    ),
  ])
  expect([...components, ...bodies].flatMap((schema) => vague(schema as Schema, ''))).toEqual([])
})

function exampleBehind(schema: Schema): unknown {
  return '$ref' in schema
    ? schemasOf(document)[String(schema.$ref).split('/').at(-1) ?? '']?.example
    : undefined
}

/** Returns the places of a schema that do not restrict the value. */
function vague(schema: Schema | undefined, at: string): string[] {
  if (schema === undefined) return [`${at}: no schema`]
  if ('$ref' in schema) return []
  const { type, properties, additionalProperties: more, anyOf } = schema
  if (anyOf) return anyOf.flatMap((one, index) => vague(one as Schema, `${at}|${index}`))
  if (type === undefined) return [`${at}: no type in ${JSON.stringify(schema)}`]
  if (type === 'array') return vague(schema.items as Schema, `${at}[]`)
  if (type !== 'object') return []
  if (more === true || (!properties && !more)) return [`${at}: an object of anything`]
  const parts = Object.entries(properties ?? {}).flatMap(([name, one]) =>
    vague(one as Schema, `${at}.${name}`),
  )
  return typeof more === 'object' ? [...parts, ...vague(more as Schema, `${at}.*`)] : parts
}

describe('openapi: every admin operation checks its access before anything else', () => {
  beforeAll(async () => {
    for (const name of ['nobody', 'reader', 'writer', 'deleter']) await server.addUser(name)
    await server.grant('reader', 'other/app', 'reader')
    await server.grant('writer', 'other/app', 'writer')
    await server.grant('deleter', 'other/app', 'admin')
  }, 60_000)

  /** By rule: who gets 401, and who gets 403. */
  const refused: Record<string, [unauthorized: string[], denied: string[]]> = {
    anybody: [[], []],
    session: [['anonymous', 'nobody', 'reader', 'writer', 'deleter', 'admin'], []],
    catalog: [['anonymous'], []],
    account: [['anonymous'], []],
    self: [['anonymous'], ['nobody', 'reader', 'writer', 'deleter']],
    admin: [['anonymous'], ['nobody', 'reader', 'writer', 'deleter']],
    pull: [['anonymous'], ['nobody']],
    push: [['anonymous'], ['nobody', 'reader']],
    delete: [['anonymous'], ['nobody', 'reader', 'writer']],
  }

  test.each(['anonymous', 'nobody', 'reader', 'writer', 'deleter', 'admin'])('%s', async (who) => {
    const principal = server.as(who === 'anonymous' ? undefined : basic(who))
    const wrong: string[] = []
    for (const [name, { 'x-access': rule = '' }] of operations('/api/')) {
      const [method = '', template = ''] = name.split(' ')
      const path = template.replaceAll(/\{(\w+)\}/g, (_, parameter) => SAMPLES[parameter] ?? 'sample')
      const { status } = await principal.fetch(path, { method })
      const [unauthorized = [], denied = []] = refused[rule] ?? []
      const expected = unauthorized.includes(who) ? 401 : denied.includes(who) ? 403 : undefined
      const isRight = expected === undefined ? ![401, 403].includes(status) : status === expected
      if (!isRight) wrong.push(`${name}: ${status}, for ${rule}`)
    }
    expect(wrong).toEqual([])
  })
})

/** Path parameters that do not exist, so that no operation has an effect. */
const SAMPLES: Record<string, string> = {
  repository: 'other%2Fapp',
  name: 'stranger',
  account: 'stranger',
  tag: 'v1',
  reference: 'v1',
  digest: `sha256:${'0'.repeat(64)}`,
  id: '00000000-0000-4000-8000-000000000000',
}

test('openapi: no example is a filler', async () => {
  const text = await Bun.file('docs/openapi.json').text()
  expect(text.match(/"\w+": "text"|^ *"text",?$/gm) ?? []).toEqual([])
})
