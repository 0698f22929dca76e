import { isSchema1, manifestOf, parseSchema1, type Schema1 } from '../../docker/schema1.ts'
import { parseSignedDocument, type SignedDocument, verifySignatures } from '../../docker/signed-document.ts'
import type { ManifestPush } from '../../domain/registry.ts'
import { type RegistryError, registryError } from '../../oci/error.ts'
import { checkItems, type Manifest, parseManifest } from '../../oci/manifest.ts'

/** Which manifests of Docker schema 1 are taken. */
export interface Schema1Pushes {
  /** Whether any are. */
  push: boolean
  /** Whether those without a signature are, too. */
  unsigned: boolean
}

/** A manifest that may be stored, once its blobs are here. */
export interface PushedDocument {
  manifest: Manifest
  /** What its digest is of: all its bytes, or those of schema 1 without their signatures. */
  payload: Uint8Array
}

/**
 * Reads what is pushed: of any media type, or of Docker schema 1, whose signatures, name and tag are checked.
 *
 * @throws RegistryError MANIFEST_INVALID; of schema 1 also MANIFEST_UNVERIFIED, NAME_INVALID, TAG_INVALID
 */
export function readPushed(push: ManifestPush, taken: Schema1Pushes): PushedDocument {
  const { bytes, contentType } = push
  checkItems(bytes)
  if (!isSchema1(bytes, contentType)) return { manifest: parseManifest(bytes, contentType), payload: bytes }
  if (!taken.push) {
    throw invalid('this registry takes no manifests of Docker schema 1: push schema 2 or OCI instead')
  }
  const document = parseSignedDocument(bytes)
  const schema1 = parseSchema1(document.payload)
  checkNames(push, schema1)
  checkSignatures(document, taken)
  return { manifest: manifestOf(document, schema1), payload: document.payload }
}

function checkNames({ repository, reference }: ManifestPush, { name, tag }: Schema1): void {
  if (name !== repository) {
    const message = `the manifest is of ${shown(name)}, and was pushed to ${repository}`
    throw registryError('NAME_INVALID', message)
  }
  if (reference.tag !== undefined && tag !== reference.tag) {
    throw registryError('TAG_INVALID', `the manifest is of the tag ${shown(tag)}, not of "${reference.tag}"`)
  }
}

function checkSignatures(document: SignedDocument, { unsigned }: Schema1Pushes): void {
  if (document.signatures.length === 0 && !unsigned) {
    throw invalid('the manifest is not signed: one of Docker schema 1 must be ("signatures")')
  }
  verifySignatures(document)
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 160))
}

function invalid(message: string): RegistryError {
  return registryError('MANIFEST_INVALID', message)
}
