import { expect } from 'bun:test'
import { join } from 'node:path'
import { runCommand } from '../../scripts/lib/command.ts'
import { sha256 } from '../../scripts/lib/image.ts'
import { manifestMediaType } from '../../scripts/lib/registry.ts'
import { type Case, type Client, testClients } from './client.ts'

/**
 * Clients whose Go modules cannot be built ("module version is not available": modelpack/modctl, kitops-ml/kitops,
 * sylabs/singularity/v4). curl replays their requests as their sources send them, and like them expects exactly the status
 * and the headers that they read.
 */

/** The steps of a client that pushes to the repository `$N` of the registry. */
const steps = `
  # send STATUS ARGUMENTS...: sends a request, which must have this status
  send() { is $(curl -sS -D headers -o body -w '%{http_code}' "\${@:2}") $1; }
  header() { sed -n "s/^$1: \\(.*\\)\\r/\\1/Ip" headers | tail -1; }
  location() { local to=$(header location); case $to in /*) echo http://$R$to ;; ?*) echo $to ;; *) return 1 ;; esac; }
  digest() { echo sha256:$(openssl dgst -sha256 -r $1 | cut -c1-64); }
  url=http://$R/v2/$N
  # A blob that exists is not pushed.
  start() { send 404 -I $url/blobs/$1; send 202 -X POST $url/blobs/uploads/; to=$(location); }
  finish() { send 201 -X PUT "\${@:2}" "$to$([[ $to = *\\?* ]] && echo '&' || echo '?')digest=$1"; location >/dev/null; }
  # oras-go, the library of ModelPack and KitOps: a blob by POST and one PUT
  push_by_put() { start $2; finish $2 -T $1; }
  # go-containerregistry, Singularity's library: by POST, one PATCH with all of it, and an empty PUT
  push_by_patch() { start $2; send 202 -X PATCH -T $1 $to; to=$(location); finish $2; }
  # KitOps' own for large blobs: by POST, a PATCH with its Content-Range for each chunk, and an empty PUT
  push_in_chunks() {
    start $2
    local size=$(stat -c %s $1) first=0 end
    while [ $first -lt $size ]; do
      end=$((first + 104857600 < size ? first + 104857600 : size))
      dd if=$1 iflag=skip_bytes,count_bytes skip=$first count=$((end - first)) bs=1M status=none |
        send 202 -X PATCH -H "Content-Range: $first-$((end - 1))" -H 'Content-Type: application/octet-stream' \
          --data-binary @- $to
      is $(header range) 0-$((end - 1))
      to=$(location) first=$end
    done
    finish $2
  }
  push_manifest() { send 201 -X PUT -H 'Content-Type: ${manifestMediaType}' -T $1 $url/manifests/$2; }
  # Interrupts the download of a blob after so many bytes, and resumes it.
  pull_in_two() {
    send 200 -I $url/blobs/$2
    is "$(header accept-ranges) $(header content-length)" "bytes $(stat -c %s $1)"
    {
      curl -sS $url/blobs/$2 2>broken | head -c $3 || true
      curl -sS -H "Range: bytes=$3-" -w '%{stderr}%{http_code}' $url/blobs/$2 2>status
    } | cmp $1
    is $(cat status) 206
  }`

/** Returns a manifest of files, by media type. */
async function pack(
  at: Case,
  config: [type: string, path: string],
  layers: [type: string, path: string][],
  more = {},
) {
  const describe = async ([mediaType, path]: [string, string]) => {
    const digest = await at.sh(`${steps}; digest ${path}`, { env: { N: '' } })
    const annotations = { 'org.opencontainers.image.title': path }
    return { mediaType, digest, size: Bun.file(join(at.folder, path)).size, annotations }
  }
  const parts = { config: await describe(config), layers: await Promise.all(layers.map(describe)) }
  await Bun.write(join(at.folder, 'manifest.json'), JSON.stringify({ schemaVersion: 2, ...more, ...parts }))
}

/** Expects the manifest under its only tag, and deletes it. */
async function expectAndDelete({ folder, published }: Case, repository: string, tag: string): Promise<void> {
  const manifest = await Bun.file(join(folder, 'manifest.json')).bytes()
  await published(repository).expectTags(tag)
  expect((await published(repository).manifest(tag)).digest).toBe(sha256(manifest))
  await published(repository).delete(tag)
}

/** A model of 2 GiB, which both clients push. */
const model = '../model.bin'

const models: Client = {
  name: 'models',
  tools: [],
  async setUp(home) {
    await runCommand(['sh', '-c', `head -c 2G /dev/urandom >${join(home, 'model.bin')}`])
    return { env: {} }
  },
  cases: {
    async 'are pushed at once by ModelPack, and pulled in two parts'(at) {
      const type = 'application/vnd.cncf.model'
      await at.sh(`echo '# A model' >README.md
        echo '{"descriptor":{"name":"quay"},"config":{"format":"safetensors","paramSize":"1b"}}' >config.json`)
      const layers: [string, string][] = [
        [`${type}.weight.v1.raw`, model],
        [`${type}.doc.v1.raw`, 'README.md'],
      ]
      const more = { mediaType: manifestMediaType, artifactType: `${type}.manifest.v1+json` }
      await pack(at, [`${type}.config.v1+json`, 'config.json'], layers, more)
      await at.sh(`N=models/pack; ${steps}
        model=$(digest ${model})
        push_by_put ${model} $model
        for file in README.md config.json; do push_by_put $file $(digest $file); done
        # The manifest is pushed by its digest, and fetched to be pushed again by its tag.
        manifest=$url/manifests/$(digest manifest.json)
        send 404 -I $manifest
        push_manifest manifest.json $(digest manifest.json)
        send 200 -H 'Accept: ${manifestMediaType}' $manifest
        is "$(header content-type) $(header content-length)" "${manifestMediaType} $(stat -c %s manifest.json)"
        push_manifest body 1b
        pull_in_two ${model} $model 734003200`)
      await expectAndDelete(at, 'models/pack', '1b')
    },
    async 'are pushed in chunks by KitOps, and pulled in two parts'(at) {
      const type = 'application/vnd.kitops.modelkit'
      const kitfile = { manifestVersion: '1.0.0', package: { name: 'quay' }, model: { path: 'model.gguf' } }
      await Bun.write(join(at.folder, 'config.json'), JSON.stringify(kitfile))
      // The manifest has no media type of its own.
      await pack(at, [`${type}.config.v1+json`, 'config.json'], [[`${type}.model.v1.tar`, model]])
      await at.sh(`N=models/kit; ${steps}
        model=$(digest ${model})
        push_in_chunks ${model} $model
        push_by_put config.json $(digest config.json)
        push_manifest manifest.json 1b
        pull_in_two ${model} $model 1572864000`)
      await expectAndDelete(at, 'models/kit', '1b')
    },
  },
}

const singularity: Client = {
  name: 'singularity',
  tools: [],
  cases: {
    async 'pushes and pulls a SIF'(at) {
      await at.sh(`printf '#!/usr/bin/env run-singularity\\n\\0SIF_MAGIC\\0' >alpine.sif
        head -c 5000000 /dev/urandom >>alpine.sif; echo '{}' >config.json`)
      const type = 'application/vnd.sylabs.sif'
      const layers: [string, string][] = [[`${type}.layer.v1.sif`, 'alpine.sif']]
      await pack(at, [`${type}.config.v1+json`, 'config.json'], layers, { mediaType: manifestMediaType })
      await at.sh(`N=singularity/sif; ${steps}
        for file in config.json alpine.sif; do push_by_patch $file $(digest $file); done
        push_manifest manifest.json 1
        curl -sSf $url/blobs/$(digest alpine.sif) | cmp alpine.sif`)
      await expectAndDelete(at, 'singularity/sif', '1')
    },
  },
}

testClients(models, singularity)
