import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict'
import { createHash, randomBytes, randomFillSync } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaseContext, Client } from './client.ts'

const mebibyte = 1024 * 1024

/** oras: artifacts of any type, and what is attached to them. */
export const oras: Client = {
  name: 'oras',
  tools: ['oras'],
  cases: {
    async 'push and pull of files'(context) {
      const name = await pushArtifact(context, 'files')
      await context.run`oras pull --plain-http --output pulled ${name}:1`
      await context.run`diff --recursive files pulled/files`
      const manifest = JSON.parse(await context.run`oras manifest fetch --plain-http ${name}:1`)
      equal(manifest.artifactType, 'application/vnd.example.model.v1+json')
    },
    async 'attach, discover, and pull of what is attached'(context) {
      const { folder, run } = context
      const name = await pushArtifact(context, 'attached')
      const digest = await attachTwo(context, name)
      const tree = await run`oras discover --plain-http --format tree ${name}:1`
      match(tree, /vnd\.example\.signature[\s\S]*vnd\.example\.note/)
      const filter = ['--artifact-type', 'application/vnd.example.note', '--depth', '1']
      const none = await run`oras discover --plain-http --format json ${filter} ${name}:1`
      deepEqual(JSON.parse(none).referrers ?? [], [])
      await run`oras pull --plain-http --output pulled ${name}@${digest}`
      await run`cmp signature.json ${join(folder, 'pulled', 'signature.json')}`
      deepEqual(await tagsOf(context, name), ['1'], 'the referrers API was used, not its tag schema')
    },
    async 'cp -r with what is attached'(context) {
      const { registry, run } = context
      const name = await pushArtifact(context, 'original')
      const digest = await attachTwo(context, name)
      const copy = `${registry}/oras/copies/one`
      await run`oras cp -r --from-plain-http --to-plain-http ${name}:1 ${copy}:1`
      const discover = ['oras', 'discover', '--plain-http', '--format', 'json']
      const { referrers } = JSON.parse(await run`${discover} ${copy}:1`)
      equal(referrers[0].digest, digest)
      equal(referrers[0].referrers[0].artifactType, 'application/vnd.example.note')
      await run`oras pull --plain-http --output pulled ${copy}:1`
      await run`diff --recursive files pulled/files`
    },
    async 'push with many tags, tag, repo tags'(context) {
      const name = await pushArtifact(context, 'tags', '1,1.0,1.0.0')
      await context.run`oras tag --plain-http ${name}:1 latest stable`
      deepEqual(await tagsOf(context, name), ['1', '1.0', '1.0.0', 'latest', 'stable'])
    },
    async 'repo ls'(context) {
      await pushArtifact(context, 'listed/one')
      const repositories = await context.run`oras repo ls --plain-http ${context.registry}`
      ok(repositories.split('\n').includes('oras/listed/one'))
    },
    async 'manifest fetch and delete'(context) {
      const { run } = context
      const name = await pushArtifact(context, 'deleted')
      const { digest } = JSON.parse(await run`oras manifest fetch --plain-http --descriptor ${name}:1`)
      const manifest = await run`oras manifest fetch --plain-http ${name}@${digest}`
      equal(`sha256:${createHash('sha256').update(manifest).digest('hex')}`, digest)
      await run`oras manifest delete --plain-http --force ${name}@${digest}`
      for (const reference of [`${name}:1`, `${name}@${digest}`])
        await rejects(run`oras manifest fetch --plain-http ${reference}`, /not found/)
    },
    async 'blob push and fetch of 1 GiB'({ registry, folder, run }) {
      const digest = await writeRandomFile(join(folder, 'pushed.bin'), 1024)
      const name = `${registry}/oras/large@${digest}`
      await run`oras blob push --plain-http ${name} pushed.bin`
      await run`oras blob fetch --plain-http --output pulled.bin ${name}`
      await run`cmp pushed.bin pulled.bin`
    },
  },
}

/** Pushes an artifact of two files and returns its name. */
async function pushArtifact(
  { registry, folder, run }: CaseContext,
  repository: string,
  tags = '1',
): Promise<string> {
  const name = `${registry}/oras/${repository}`
  await Bun.write(join(folder, 'files', 'weights.bin'), randomBytes(8 * mebibyte))
  await Bun.write(join(folder, 'files', 'notes.txt'), `notes of ${repository}\n`)
  const files = ['files/weights.bin:application/vnd.example.weights', 'files/notes.txt:text/plain']
  const type = ['--artifact-type', 'application/vnd.example.model.v1+json']
  await run`oras push --plain-http ${type} ${name}:${tags} ${files}`
  return name
}

/** Attaches a signature to an artifact, and a note to the signature; returns the signature's digest. */
async function attachTwo({ folder, run }: CaseContext, name: string): Promise<string> {
  await Bun.write(join(folder, 'signature.json'), '{"signature":"example"}\n')
  const command = ['oras', 'attach', '--plain-http', '--format', 'json', '--artifact-type']
  const attached = await run`${command} application/vnd.example.signature ${name}:1 signature.json`
  const { digest } = JSON.parse(attached)
  await run`${command} application/vnd.example.note ${name}@${digest} --annotation note=checked`
  return digest
}

async function tagsOf({ run }: CaseContext, name: string): Promise<string[]> {
  return (await run`oras repo tags --plain-http ${name}`).trimEnd().split('\n')
}

/** Writes a file of random bytes, of a length in MiB, and returns its digest. */
async function writeRandomFile(path: string, mebibytes: number): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(mebibyte)
  for (let written = 0; written < mebibytes; written++) {
    randomFillSync(chunk)
    hash.update(chunk)
    await file.write(chunk)
  }
  await file.close()
  return `sha256:${hash.digest('hex')}`
}
