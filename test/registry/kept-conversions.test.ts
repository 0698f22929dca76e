import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseSignedDocument, verifySignatures } from '../../src/docker/signed-document.ts'
import { digestOf, randomBlob } from '../support/content.ts'
import { schema1Text, signed, testKey } from '../support/jws.ts'
import { expectConverted, fill, image, pull, SIGNED, UNSIGNED } from '../support/negotiation.ts'
import { expectStatus, pushBlob, putManifest } from '../support/push.ts'
import { SERVERS, startInProcess } from '../support/server.ts'

for (const [kind, start] of SERVERS) {
  test(`a conversion keeps its digest, its key and its layers after a restart, ${kind}`, async () => {
    await using folder = await temporaryFolder('conversions')
    const first = await fill(await start({ data: folder.path }))
    const before = await pull(first, 'index', SIGNED)
    const log = JSON.stringify(first.log())
    await first.stop()
    await using server = await start({ data: folder.path })
    expectConverted(await pull(server, before.digest, null), 'index')
    const after = await pull(server, 'index', SIGNED)
    expect([after.digest, after.bytes.length]).toEqual([before.digest, before.bytes.length])
    const keyOf = ({ bytes }: { bytes: Buffer }) => parseSignedDocument(bytes).signatures[0]?.header.jwk
    expect(keyOf(after)).toEqual(keyOf(before))
    expect(log).not.toMatch(/"d":|private/i)
  }, 60_000)
}

test('conversions: one is gone when its image is deleted or conversions are disabled', async () => {
  await using folder = await temporaryFolder('conversions')
  const first = await fill(await startInProcess({ data: folder.path }))
  const [index, oci] = [await pull(first, 'list', SIGNED), await pull(first, 'oci', SIGNED)]
  await expectStatus(await first.fetch(`/v2/a/b/manifests/${image.digest}`, { method: 'DELETE' }), 202)
  expect((await pull(first, oci.digest, null)).status).toBe(404)
  expect((await pull(first, index.digest, null)).status).toBe(200)
  await first.stop()
  await using server = await startInProcess({
    data: folder.path,
    settings: { 'docker.schema1.pull': 'never' },
  })
  expect((await pull(server, index.digest, null)).status).toBe(404)
})

test('conversions: an unsigned manifest is signed for clients that need a signature', async () => {
  await using server = await startInProcess({ settings: { 'docker.schema1.unsigned': 'true' } })
  const layer = randomBlob(100)
  const text = schema1Text('a/b', 'bare', [layer.digest])
  const bare = Buffer.from(text)
  const [digest, signedBytes] = [digestOf(bare), signed(text, [testKey('RS256')])]
  await pushBlob(server, 'a/b', layer)
  const push = async (bytes: Uint8Array<ArrayBuffer>, type: string) =>
    expectStatus(await putManifest(server, 'a/b', { bytes, digest }, { reference: 'bare', type }), 201)
  const docker = ['application/vnd.docker.distribution.manifest.v2+json', SIGNED]

  await push(Uint8Array.from(bare), UNSIGNED)
  for (const reference of ['bare', digest]) {
    const sent = await pull(server, reference, docker)
    expect([sent.type, sent.digest, sent.headers.get('warning')]).toEqual([SIGNED, digest, null])
    const document = parseSignedDocument(sent.bytes)
    expect(document.signatures.length).toBe(1)
    verifySignatures(document)
    for (const accept of [null, '*/*']) {
      const old = await pull(server, reference, accept, 'docker/1.9.1 go/go1.4.2')
      expect([old.type, old.digest, parseSignedDocument(old.bytes).signatures.length]).toEqual([
        SIGNED,
        digest,
        1,
      ])
    }
    const other = await pull(server, reference, null)
    expect([other.type, other.bytes.toString()]).toEqual([UNSIGNED, text])
  }
  // The bytes are stored once per digest, and the unsigned ones came first.
  await push(signedBytes, SIGNED)
  for (const accept of [docker, null]) {
    const sent = await pull(server, 'bare', accept)
    expect([sent.type, sent.digest]).toEqual([SIGNED, digest])
    expect(parseSignedDocument(sent.bytes).signatures.length).toBe(1)
    verifySignatures(parseSignedDocument(sent.bytes))
  }
})
