import { expect, test } from 'bun:test'
import { Elysia, t } from 'elysia'
import { type Access, type Action, type Identity, NOBODY } from '../../src/access/access.ts'
import { grantedAccess, openAccess } from '../../src/accounts/authenticator.ts'
import { Rules } from '../../src/accounts/rules.ts'
import { checkVersion } from '../../src/database/operation.ts'
import { openBodies } from '../../src/http/body.ts'
import { type AdminContext, type ApiServices, controller, SessionCookies } from '../../src/http/controller.ts'
import { readPage } from '../../src/http/list-page.ts'
import { operation } from '../../src/http/operation.ts'
import { errors } from '../../src/http/problem.ts'
import { mapPage, pageOf, pageParameters, RepositoryParam } from '../../src/http/schemas.ts'
import type { RepositoryName } from '../../src/oci/reference.ts'
import { openMemoryLog } from '../support/memory-log.ts'

/** An identity with some actions on one repository. */
function identity(account: string | undefined, actions: Action[], more: Partial<Identity> = {}): Identity {
  const role = actions.includes('delete') ? 'admin' : actions.includes('push') ? 'writer' : 'reader'
  const granted = new Rules([{ pattern: 'team/**', role }])
  return { ...NOBODY, account, granted, ...more }
}

const NoteModel = t.Object({ repository: t.String(), text: t.String() }, { description: 'A note' })

interface Note {
  repository: RepositoryName
  text: string
  version: number
}

/** A resource for the test: one note per repository. Reading it needs pull, changing it needs delete. */
function notes(as: Identity, access = grantedAccess) {
  const { log } = openMemoryLog()
  const context = contextFor(as, access)
  const params = t.Object({ repository: RepositoryParam })
  const notes = new Map<RepositoryName, Note>()
  const find = (repository: RepositoryName) => notes.get(repository) ?? { repository, text: '', version: 0 }
  const app = new Elysia().use(errors(log, () => 'request-1')).use(
    controller(context, 'notes', '/notes')
      .get(
        '',
        async ({ query }) => {
          const read = (limit: number) =>
            ['a', 'b', 'c'].filter((key) => key > (query.cursor ?? '')).slice(0, limit)
          return mapPage(await readPage(query, read, String), (text) => ({ repository: query.q ?? '', text }))
        },
        {
          query: t.Object({ ...pageParameters, q: t.Optional(t.String()) }),
          ...operation('listNotes', 'catalog', 'List notes', { answer: pageOf(NoteModel, 'Notes') }),
        },
      )
      .get('/:repository', ({ params: { repository } }) => find(repository), {
        params,
        ...operation('getNote', 'pull', 'Read a note', { answer: NoteModel, etag: true }),
      })
      .put(
        '/:repository',
        async ({ principal, params: { repository }, body: { text } }) => {
          const { version } = find(repository)
          checkVersion('the note', version, principal.act().condition)
          const note = { repository, text, version: version + 1 }
          notes.set(repository, note)
          return note
        },
        {
          params,
          body: t.Object({ text: t.String() }),
          ...operation('putNote', 'delete', 'Write a note', { answer: NoteModel, etag: true }),
        },
      ),
  )
  return asks(app)
}

function contextFor(as: Identity, access: Access): AdminContext {
  return {
    accounts: {} as AdminContext['accounts'],
    noteRefusal() {},
    content: {} as ApiServices,
    cookies: new SessionCookies(() => ''),
    now: Date.now,
    access,
    authenticate: () => as,
    addressOf: () => '127.0.0.1',
    bodies: openBodies({ largestBytes: 0, budgetBytes: 0, stallSecondsMax: 10 }),
    sourceOf: (request) => ({ request, client: undefined }),
    sendBlob: async () => new Response(),
    streamOf: () => new ReadableStream(),
  }
}

function asks(app: { handle(request: Request): Promise<Response> }) {
  return async (method: string, path: string, headers: Record<string, string> = {}, body?: object) => {
    const init = {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    }
    const response = await app.handle(new Request(`http://localhost/notes${path}`, init))
    const content = await response.text()
    const json = content === '' ? undefined : JSON.parse(content)
    return { status: response.status, etag: response.headers.get('etag') ?? '', json }
  }
}

test('controllers: a repository is one path segment, and its name is validated', async () => {
  const ask = notes(identity('ann', ['pull']))
  expect((await ask('GET', '/team%2Fapp')).json).toEqual({ repository: 'team/app', text: '' })
  expect((await ask('GET', '/team/app')).status).toBe(404)
  for (const name of [
    'team%2FUPPER',
    'team%2F%2Fapp',
    'team%2f..',
    'team%2F%zz',
    `team%2F${'a'.repeat(300)}`,
  ]) {
    const { status, json } = await ask('GET', `/${name}`)
    expect([name, status, json.code, json.type]).toEqual([
      name,
      400,
      'NAME_INVALID',
      '/problems/name-invalid',
    ])
  }
})

test('controllers: access is checked before the request is validated', async () => {
  const text = { text: 'x' }
  const statuses = async (as: Identity, access = grantedAccess) => {
    const ask = notes(as, access)
    const answers = [ask('GET', '/team%2Fa'), ask('PUT', '/team%2Fa', {}, text), ask('PUT', '/team%2Fa')]
    return [...(await Promise.all(answers)).map(({ status }) => status), (await ask('GET', '')).status]
  }
  expect(await statuses(NOBODY)).toEqual([401, 401, 401, 401])
  expect(await statuses(identity(undefined, ['pull']))).toEqual([200, 401, 401, 200])
  expect(await statuses(identity('ann', ['pull']))).toEqual([200, 403, 403, 200])
  expect(await statuses(identity('ann', ['pull', 'push', 'delete']))).toEqual([200, 200, 400, 200])
  expect(await statuses({ ...NOBODY, account: 'root', isAdmin: true })).toEqual([200, 200, 400, 200])
  expect(await statuses(NOBODY, openAccess)).toEqual([200, 200, 400, 200])
})

test("controllers: a credential's limits apply", async () => {
  const limit = { of: "its token's scope", permissions: new Rules([{ pattern: 'team/a', role: 'reader' }]) }
  const narrowed = notes({ ...NOBODY, account: 'root', isAdmin: true, limits: [limit] })
  expect((await narrowed('GET', '/team%2Fa')).status).toBe(200)
  expect((await narrowed('GET', '/team%2Fb')).status).toBe(403)
  expect((await narrowed('PUT', '/team%2Fa', {}, { text: 'x' })).status).toBe(403)
  const repositories = new Map([['team/a', new Set(['pull'])]])
  const short = notes(identity('ann', ['pull', 'delete'], { token: { repositories, catalog: false } }))
  expect((await short('GET', '/team%2Fa')).status).toBe(200)
  expect((await short('GET', '/team%2Fb')).status).toBe(401)
  expect((await short('PUT', '/team%2Fa', {}, { text: 'x' })).status).toBe(401)
  expect((await short('GET', '')).status).toBe(401)
})

test('controllers: a response has an entity tag, and If-None-Match with it is 304', async () => {
  const ask = notes(identity('ann', ['pull', 'delete']))
  const { etag } = await ask('GET', '/team%2Fa')
  expect(etag).toBe('"0"')
  const again = await ask('GET', '/team%2Fa', { 'if-none-match': `"other", W/${etag}` })
  expect(again).toEqual({ status: 304, etag, json: undefined })
  await ask('PUT', '/team%2Fa', {}, { text: 'new' })
  expect((await ask('GET', '/team%2Fa', { 'if-none-match': etag })).status).toBe(200)
})

test('controllers: a change checks its precondition atomically', async () => {
  const ask = notes(identity('ann', ['pull', 'delete']))
  const { etag } = await ask('GET', '/team%2Fa')
  const put = (headers: Record<string, string>, text = 'x') => ask('PUT', '/team%2Fa', headers, { text })
  expect((await put({ 'if-match': '"other"' })).status).toBe(412)
  expect((await put({ 'if-match': `W/${etag}` })).status).toBe(412)
  expect((await put({ 'if-none-match': '*' })).json).toMatchObject({
    status: 412,
    code: 'PRECONDITION_FAILED',
  })
  const racing = await Promise.all(['1', '2', '3'].map((text) => put({ 'if-match': etag }, text)))
  expect(racing.map(({ status }) => status)).toEqual([200, 412, 412])
  expect((await ask('GET', '/team%2Fa')).json.text).toBe('1')
  expect((await put({ 'if-match': '*' })).status).toBe(200)
})

test('controllers: a list has pages of the requested size', async () => {
  const ask = notes(identity('ann', ['pull']))
  const { json } = await ask('GET', '?limit=2&q=z')
  expect([json.items.length, json.nextCursor]).toEqual([2, 'b'])
  expect((await ask('GET', '?limit=2&cursor=b')).json).toEqual({ items: [{ repository: '', text: 'c' }] })
  for (const limit of ['0', '501', 'x', '1.5']) expect((await ask('GET', `?limit=${limit}`)).status).toBe(400)
})
