import { expect } from 'bun:test'
import { join } from 'node:path'
import { makeIndex, writeLayout } from '../../scripts/lib/image.ts'
import { acts } from './acts.ts'
import { type Client, testClients } from './client.ts'

/**
 * crane (go-containerregistry, whose library ko, cosign and flux push with), oras (artifacts of any type, and what is
 * attached to them), and regctl (regclient).
 */

const crane: Client = {
  name: 'crane',
  tools: ['crane'],
  acts: acts.crane,
  cases: {
    async 'pushes and pulls an index of an index'({ folder, samples, sh }) {
      await writeLayout(join(folder, 'pushed'), makeIndex([samples.index, samples.amd64]), '1')
      await sh(`
        crane push $P pushed $R/crane/index:1
        crane pull $P --format oci $R/crane/index:1 pulled
        diff -r pushed/blobs pulled/blobs`)
    },
    'validates, copies and tags an image': `
      crane push $P $IMAGE $R/crane/source:1
      crane validate $P --remote $R/crane/source:1
      crane copy $P $R/crane/source:1 $R/crane/target:1
      crane tag $P $R/crane/target:1 2
      is $(crane digest $P $R/crane/target:2) $DIGEST
      crane pull $P --format oci $R/crane/target:2 pulled
      diff -r $IMAGE/blobs pulled/blobs`,
    'appends a layer to an image': `
      crane push $P $IMAGE $R/crane/base:1
      head -c 100000 /dev/urandom >random.bin
      tar -cf layer.tar random.bin
      crane append $P -b $R/crane/base:1 -f layer.tar -t $R/crane/base:2
      crane config $P $R/crane/base:2 | grep -o 'sha256:[0-9a-f]*' >ids
      is $(wc -l <ids) 4
      is $(tail -1 ids) sha256:$(sha256sum <layer.tar | cut -c1-64)`,
    'appends images to an index': `
      for platform in amd64 arm64; do crane push $P $C/$platform $R/crane/list:$platform; done
      crane index append $P -m $R/crane/list:amd64 -m $R/crane/list:arm64 -t $R/crane/list:all
      for platform in amd64 arm64; do
        crane config $P --platform linux/$platform $R/crane/list:all | grep '"architecture":"'$platform
      done`,
    'lists the catalog and the tags in order': `
      crane push $P $IMAGE $R/crane/listed:1
      for tag in b a; do crane tag $P $R/crane/listed:1 $tag; done
      is "$(crane ls $P $R/crane/listed | xargs)" "1 a b"
      crane catalog $P $R >catalog
      grep -x crane/listed catalog
      LC_ALL=C sort -c catalog`,
    'reads the digest, the manifest and each blob': `
      crane push $P $IMAGE $R/crane/read:1
      is $(crane digest $P $R/crane/read:1) $DIGEST
      is sha256:$(crane manifest $P $R/crane/read@$DIGEST | sha256sum | cut -c1-64) $DIGEST
      for layer in $(crane manifest $P $R/crane/read:1 | grep -o 'sha256:[0-9a-f]*'); do
        is sha256:$(crane blob $P $R/crane/read@$layer | sha256sum | cut -c1-64) $layer
      done`,
    'deletes an image': `
      crane push $P $IMAGE $R/crane/deleted:1
      crane delete $P $R/crane/deleted@$DIGEST
      fails 'MANIFEST_UNKNOWN|404' crane digest $P $R/crane/deleted:1`,
  },
}

/** Pushes an artifact of two files to `$N`, under the tags `$TAG`. */
const pushArtifact = `
  mkdir files; head -c 8M /dev/urandom >files/weights.bin; echo notes of $N >files/notes.txt
  oras push $P --artifact-type application/vnd.example.model.v1+json $N:$TAG \
    files/weights.bin:application/vnd.example.weights files/notes.txt:text/plain`

const note = 'application/vnd.example.note'

/** Pushes an artifact, and attaches a signature to it, and a note to the signature; prints the signature's digest. */
const attachTwo = `${pushArtifact} >&2
  echo '{"signature":"example"}' >signature.json
  attach="oras attach $P --format go-template={{.digest}} --artifact-type"
  signature=$($attach application/vnd.example.signature $N:1 signature.json)
  $attach ${note} $N@$signature --annotation note=checked >&2
  echo $signature`

const oras: Client = {
  name: 'oras',
  tools: ['oras'],
  acts: acts.oras,
  cases: {
    'pushes and pulls files': `N=$R/oras/files; ${pushArtifact}
      oras pull $P --output pulled $N:1
      diff -r files pulled/files
      oras manifest fetch $P $N:1 | grep '"artifactType":"application/vnd.example.model.v1+json"'`,
    async 'attaches files, discovers them by type, and pulls them'({ registry, sh, published }) {
      const N = `${registry}/oras/attached`
      const digest = await sh(attachTwo, { env: { N } })
      const tree = await sh('oras discover $P --format tree $N:1', { env: { N } })
      expect(tree).toMatch(/vnd\.example\.signature[\s\S]*vnd\.example\.note/)
      const none = await sh(`oras discover $P --format json --artifact-type ${note} --depth 1 $N:1`, {
        env: { N },
      })
      expect(JSON.parse(none).referrers ?? []).toEqual([])
      await sh(`oras pull $P --output pulled $N@${digest}; cmp signature.json pulled/signature.json`, {
        env: { N },
      })
      // It used the referrers API, not its tag schema.
      expect(await published('oras/attached').tags()).toEqual(['1'])
    },
    async 'copies an artifact with what is attached'({ registry, sh }) {
      const digest = await sh(attachTwo, { env: { N: `${registry}/oras/original` } })
      const copied = await sh(`
        oras cp -r $FROM $TO $R/oras/original:1 $R/oras/copies/one:1 >&2
        oras pull $P --output pulled $R/oras/copies/one:1 >&2
        diff -r files pulled/files
        oras discover $P --format json $R/oras/copies/one:1`)
      const [signature] = JSON.parse(copied).referrers
      expect([signature.digest, signature.referrers[0].artifactType]).toEqual([digest, note])
    },
    'pushes with many tags, adds more, and lists tags and repositories': `N=$R/oras/listed/one
      TAG=1,1.0,1.0.0; ${pushArtifact}
      oras tag $P $N:1 latest stable
      is "$(oras repo tags $P $N | xargs)" "1 1.0 1.0.0 latest stable"
      oras repo ls $P $R | grep -x oras/listed/one`,
    'fetches and deletes a manifest': `N=$R/oras/deleted; ${pushArtifact}
      digest=$(oras resolve $P $N:1)
      is sha256:$(oras manifest fetch $P $N@$digest | sha256sum | cut -c1-64) $digest
      oras manifest delete $P --force $N@$digest
      for reference in $N:1 $N@$digest; do fails 'not found' oras manifest fetch $P $reference; done`,
    'pushes and fetches a blob of 1 GiB': `
      head -c 1G /dev/urandom >pushed.bin
      blob=$R/oras/large@sha256:$(sha256sum pushed.bin | cut -c1-64)
      oras blob push $P $blob pushed.bin
      oras blob fetch $P --output pulled.bin $blob
      cmp pushed.bin pulled.bin
      rm *.bin`,
  },
}

/** Pushes an index to `$N:1`. */
const pushIndex = 'regctl image copy $P ocidir://$C/index:1 $N:1'

const artifactType = 'application/vnd.example.artifact'
const put = `regctl artifact put $P --artifact-type ${artifactType} --file note.txt`

const regctl: Client = {
  name: 'regctl',
  tools: ['regctl'],
  acts: acts.regctl,
  cases: {
    async 'copies an index with referrers and digest tags'({ samples, sh, published }) {
      const { digest } = samples.index.descriptor
      const companion = `${digest.replace(':', '-')}.sig`
      const tree = await sh(`N=$R/regctl/source; ${pushIndex} >&2
        echo a note >note.txt
        ${put} --subject $N:1 >&2
        ${put} $N:${companion} >&2
        regctl image copy $P --referrers --digest-tags $N:1 $R/regctl/target:1 >&2
        regctl image copy $P $R/regctl/target:1 ocidir://pulled:1 >&2
        diff -r $C/index/blobs pulled/blobs
        regctl artifact tree $P --digest-tags $R/regctl/target:1`)
      expect(tree).toContain(artifactType)
      const [source, target] = [published('regctl/source'), published('regctl/target')]
      for (const one of [source, target]) await one.expectTags('1', companion)
      expect(await target.referrers(digest)).toEqual(await source.referrers(digest))
      expect(await target.referrers(digest, artifactType)).toHaveLength(1)
    },
    'puts, lists and gets artifacts': `N=$R/regctl/artifact; mkdir pulled noted
      head -c 300000 /dev/urandom >file.bin; echo a note >note.txt
      regctl artifact put $P --artifact-type ${artifactType} --file file.bin \
        --file-media-type application/vnd.example.file --file-title $N:1
      regctl artifact put $P --artifact-type ${note} --file note.txt --file-media-type text/plain --file-title --subject $N:1
      is "$(regctl artifact list $P $N:1 --format '{{range .Descriptors}}{{.ArtifactType}}{{end}}')" ${note}
      regctl artifact tree $P $N:1 | grep vnd.example.note
      regctl artifact get $P --output pulled $N:1
      cmp file.bin pulled/file.bin
      regctl artifact get $P --subject $N:1 --filter-artifact-type ${note} --output noted
      cmp note.txt noted/note.txt`,
    'pushes a blob in chunks': `
      head -c 5000000 /dev/urandom >file.bin
      P="$P,blobMax=1000000,blobChunk=700001"
      digest=$(regctl blob put $P $R/regctl/chunks <file.bin)
      regctl blob get $P $R/regctl/chunks $digest | cmp file.bin`,
    async 'recompresses with zstd, and mounts, uploads and deletes layers for it'({ sh, published }) {
      await sh(`N=$R/regctl/gzip; ${pushIndex}
        regctl image mod $P $N:1 --layer-compress zstd --create $N:zstd
        regctl image mod $P $N:zstd --layer-compress none --create $N:none
        regctl image mod $P $N:1 --layer-compress none --create $N:plain
        for tag in none plain; do regctl image copy $P $N:$tag ocidir://$tag:1; done
        diff -r none/blobs plain/blobs`)
      const { json } = await published('regctl/gzip').manifest('zstd')
      const child = await published('regctl/gzip').manifest(json.manifests[0].digest)
      expect(child.json.layers[0].mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd')
    },
    async 'changes the digests to sha512'({ sh, published }) {
      await sh(`N=$R/regctl/sha256; ${pushIndex}
        regctl image mod $P $N:1 --digest-algo sha512 --create $R/regctl/sha512:1
        regctl image copy $P $R/regctl/sha512:1 ocidir://first:1
        regctl image copy $P ocidir://first:1 $R/regctl/again:1
        regctl image copy $P $R/regctl/again:1 ocidir://second:1
        diff -r first/blobs/sha512 second/blobs/sha512`)
      const { digest, json } = await published('regctl/sha512').manifest('1')
      for (const name of [digest, ...json.manifests.map((child: { digest: string }) => child.digest)])
        expect(name).toStartWith('sha512:')
    },
    async 'removes a tag, and leaves the manifest'({ samples, sh, published }) {
      const listed = await sh(`N=$R/regctl/tags; ${pushIndex} >&2
        regctl image copy $P $N:1 $N:2 >&2
        regctl tag rm $P $N:1 >&2
        regctl tag ls $P $N`)
      expect(listed).toBe('2')
      await published('regctl/tags').expectTags('2')
      expect((await published('regctl/tags').manifest('2')).digest).toBe(samples.index.descriptor.digest)
    },
    async 'deletes a manifest by its digest only'({ samples, sh, published }) {
      const { digest } = samples.index.descriptor
      await sh(`N=$R/regctl/deleted; ${pushIndex}
        regctl repo ls $P $R | grep -x regctl/deleted
        fails digest regctl manifest delete $P $N:1
        regctl manifest delete $P --referrers $N@${digest}
        fails 'not found|404' regctl manifest head $P $N:1`)
      await published('regctl/deleted').expectGone('1', digest)
    },
  },
}

testClients(crane, oras, regctl)
