import { equal } from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { encode, mediaTypes, sha256 } from '../../lib/image.ts'
import type { Client } from '../client.ts'
import { Published } from '../published.ts'
import { describe, describeFile, type FileDescriptor, Replay } from '../replay.ts'

const mebibyte = 1024 * 1024
const modelMebibytes = 2048

/** modctl, which is replayed: `go list -m github.com/modelpack/modctl@latest` says "module version is not available". */
export const modelPack: Client = {
  name: 'modelpack',
  tools: [],
  cases: {
    async 'push, pull in two parts and delete of a model of 2 GiB'({ registry, folder }) {
      const type = 'application/vnd.cncf.model'
      const [replay, published] = [
        new Replay(registry, 'models/pack'),
        new Published(registry, 'models/pack'),
      ]
      const path = join(folder, 'model.safetensors')
      await writeWeights(path)
      const weights = await describeFile(path)
      const readme = await writeText(join(folder, 'README.md'), '# A model\n')
      const files = [
        { file: weights, mediaType: `${type}.weight.v1.raw` },
        { file: readme, mediaType: `${type}.doc.v1.raw` },
      ]
      const modelfs = { type: 'layers', diffIds: files.map(({ file }) => file.digest) }
      const model = {
        descriptor: { name: 'quay' },
        config: { format: 'safetensors', paramSize: '1b' },
        modelfs,
      }
      const config = await writeText(join(folder, 'config.json'), JSON.stringify(model))
      for (const { file } of [...files, { file: config }]) await replay.pushByPut(file)
      const manifest = encode({
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        artifactType: `${type}.manifest.v1+json`,
        config: describe(config, `${type}.config.v1+json`),
        layers: files.map(({ file, mediaType }) => ({
          ...describe(file, mediaType),
          annotations: { 'org.cncf.model.filepath': file.path.slice(folder.length + 1) },
        })),
      })
      await replay.pushManifestThenTag(manifest, sha256(manifest), '1b')
      await published.expectTags('1b')
      equal((await published.manifest('1b')).digest, sha256(manifest))
      equal(await replay.pullInTwo(weights, 700 * mebibyte), weights.digest)
      await rm(weights.path)
      await published.delete('1b')
    },
  },
}

/** kit, which is replayed: `go list -m github.com/kitops-ml/kitops@latest` says "module version is not available". */
export const kitOps: Client = {
  name: 'kitops',
  tools: [],
  cases: {
    async 'push in chunks, pull in two parts and delete of a model of 2 GiB'({ registry, folder, run }) {
      const type = 'application/vnd.kitops.modelkit'
      const [replay, published] = [new Replay(registry, 'models/kit'), new Published(registry, 'models/kit')]
      await writeWeights(join(folder, 'model.gguf'))
      await run`tar --create --remove-files --file model.tar model.gguf`
      const model = await describeFile(join(folder, 'model.tar'))
      const kitfile = { manifestVersion: '1.0.0', package: { name: 'quay' }, model: { path: 'model.gguf' } }
      const config = await writeText(join(folder, 'config.json'), JSON.stringify(kitfile))
      await replay.pushInChunks(model, 100 * mebibyte)
      await replay.pushByPut(config)
      // The manifest has no media type of its own.
      const manifest = encode({
        schemaVersion: 2,
        config: describe(config, `${type}.config.v1+json`),
        layers: [describe(model, `${type}.model.v1.tar`)],
        annotations: { 'ml.kitops.modelkit.cli-version': '1.0.0' },
      })
      await replay.pushManifest(manifest, '1b')
      await published.expectTags('1b')
      equal((await published.manifest('1b')).digest, sha256(manifest))
      equal(await replay.pullInTwo(model, 1500 * mebibyte), model.digest)
      await rm(model.path)
      await published.delete('1b')
    },
  },
}

/** Writes 2 GiB, each MiB of them different. */
async function writeWeights(path: string): Promise<void> {
  const chunk = randomFillSync(Buffer.alloc(mebibyte))
  const file = await open(path, 'w')
  for (let number = 0; number < modelMebibytes; number++) {
    chunk.writeUInt32LE(number, 0)
    await file.write(chunk)
  }
  await file.close()
}

async function writeText(path: string, text: string): Promise<FileDescriptor> {
  await Bun.write(path, text)
  return await describeFile(path)
}
