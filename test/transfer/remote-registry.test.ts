import { expect, test } from 'bun:test'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openRemoteRegistry, RegistryClient, readAtMost } from '../../src/transfer/registries.ts'

/** A registry that answers as told, and what it was sent. */
function startFake(answer: (request: Request, url: URL) => Response) {
  const credentials: (string | null)[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      credentials.push(request.headers.get('authorization'))
      return answer(request, new URL(request.url))
    },
  })
  return { credentials, url: server.url, [Symbol.asyncDispose]: () => server.stop(true) }
}

const clientOf = (url: URL, password = 'secret') =>
  new RegistryClient(openRemoteRegistry({ url, username: 'me', password }))

const challenge = (realm: string) =>
  new Response(null, { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}"` } })

const failureOf = async (work: Promise<unknown>) =>
  await work.then(
    () => 'none',
    (error: Error) => error.message,
  )

test('migrate: a registry cannot have a local file sent to it as its token', async () => {
  await using folder = await temporaryFolder('remote')
  const file = join(folder.path, 'secret.json')
  await writeFile(file, '{"token":"of-another-service"}')
  await using fake = startFake(() => challenge(`file://${file}`))
  expect(await failureOf(clientOf(fake.url).manifest('app', 'v1'))).toContain('expected an https:// URL')
  expect(fake.credentials.filter((one) => one?.includes('of-another-service'))).toEqual([])
})

test('migrate: the answer of a token service is bounded', async () => {
  const big = JSON.stringify({ token: 'x'.repeat(1_000_000) })
  await using fake = startFake((_, { pathname, origin }) =>
    pathname === '/token' ? new Response(big) : challenge(`${origin}/token`),
  )
  expect(await failureOf(clientOf(fake.url).manifest('app', 'v1'))).toContain('sends more than')
})

test('migrate: the next page of a list is asked of the same host', async () => {
  await using other = startFake(() => Response.json({ repositories: [] }))
  await using fake = startFake((_, { pathname }) =>
    pathname.endsWith('/_catalog')
      ? Response.json(
          { repositories: [] },
          { headers: { link: `<http://x//127.0.0.1:${other.url.port}/v2/>; rel="next"` } },
        )
      : Response.json({ repositories: 'none' }),
  )
  expect(await failureOf(Array.fromAsync(clientOf(fake.url).list()))).toContain(
    'does not send a list of repositories',
  )
  expect(other.credentials).toEqual([])
})

test('migrate: a password can have any characters', async () => {
  await using fake = startFake(() => new Response(null, { status: 404 }))
  await clientOf(fake.url, 'pässwörd ✓').manifest('app', 'v1')
  expect(fake.credentials).toEqual([`Basic ${Buffer.from('me:pässwörd ✓').toString('base64')}`])
})

test('migrate: a list that names itself as its next page ends with an error', async () => {
  await using fake = startFake(() =>
    Response.json({ repositories: [] }, { headers: { link: '</v2/_catalog?n=500>; rel="next"' } }),
  )
  const listing = Array.fromAsync(clientOf(fake.url).list())
  expect(await failureOf(listing)).toContain('names itself as its next page')
})

test('migrate: a list that never ends is reported, not cut', async () => {
  let pages = 0
  const client = new RegistryClient(async () =>
    Response.json({ repositories: [] }, { headers: { link: `</v2/_catalog?last=${pages++}>; rel="next"` } }),
  )
  expect(await failureOf(Array.fromAsync(client.list()))).toContain('has more than 100000 pages')
})

test('migrate: an answer that never ends is given up', async () => {
  await using fake = startFake(
    () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{')) })),
  )
  expect(await failureOf(readAtMost(await fetch(fake.url), 1000, 50))).toContain('sends too slowly')
})

test('migrate: names and lists of other types do not end it', async () => {
  const lists: Record<string, unknown> = {
    '/v2/_catalog': { repositories: [7, null, '../../etc', 'app', { a: 1 }] },
    '/v2/app/tags/list': { name: 'app', tags: null },
    '/v2/../../etc/tags/list': { tags: ['x'] },
  }
  await using fake = startFake((_, { pathname }) => Response.json(lists[pathname] ?? { tags: [] }))
  expect(await Array.fromAsync(clientOf(fake.url).list())).toEqual([])
})

test('migrate: referrers are listed from every page', async () => {
  const entry = (digit: string) => ({ digest: `sha256:${digit.repeat(64)}` })
  await using fake = startFake((_, { search }) =>
    search === ''
      ? Response.json(
          { manifests: [entry('1')] },
          { headers: { link: '</v2/app/referrers/sha256:0?last=1>; rel="next"' } },
        )
      : Response.json({ manifests: [entry('2')] }),
  )
  const { url } = fake
  expect(await clientOf(url).referrers('app', 'sha256:0')).toEqual([entry('1').digest, entry('2').digest])
})

test('migrate: referrers that a registry describes wrongly are ignored', async () => {
  for (const manifests of ['x', null, [null, 'x', { digest: 1 }, {}]]) {
    await using fake = startFake(() => Response.json({ manifests }))
    expect(await clientOf(fake.url).referrers('app', 'sha256:0')).toEqual([])
  }
})
