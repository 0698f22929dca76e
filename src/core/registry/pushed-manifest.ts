import { isSchema1, manifestOf, parseSchema1, type Schema1 } from '../../docker/schema1.ts'
import { parseSignedDocument, type SignedDocument, verifySignatures } from '../../docker/signed-document.ts'
import type { ManifestPush } from '../../domain/registry.ts'
import { type RegistryError, registryError } from '../../oci/error.ts'
import { checkItems, type Manifest, parseManifest } from '../../oci/manifest.ts'

/** Which Docker schema 1 manifests are accepted. */
export interface Schema1Pushes {
  /** Whether any are accepted. */
  push: boolean
  /** Whether unsigned ones are accepted, too. */
  unsigned: boolean
}

/** A valid manifest, which can be stored if its blobs are. */
export interface PushedDocument {
  manifest: Manifest
  /** The bytes that its digest covers: all, or those of schema 1 without the signatures. */
  payload: Uint8Array
}

/**
 * Parses a pushed manifest of any media type. For Docker schema 1, it checks the signatures, the name and the tag.
 *
 * @throws RegistryError MANIFEST_INVALID; for schema 1 also MANIFEST_UNVERIFIED, NAME_INVALID, TAG_INVALID
 */
export function readPushed(push: ManifestPush, taken: Schema1Pushes): PushedDocument {
  const { bytes, contentType } = push
  checkItems(bytes)
  if (!isSchema1(bytes, contentType)) return { manifest: parseManifest(bytes, contentType), payload: bytes }
  if (!taken.push) {
    throw invalid('this registry does not accept Docker schema 1 manifests: push schema 2 or OCI instead')
  }
  const document = parseSignedDocument(bytes)
  const schema1 = parseSchema1(document.payload)
  checkNames(push, schema1)
  checkSignatures(document, taken)
  return { manifest: manifestOf(document, schema1), payload: document.payload }
}

function checkNames({ repository, reference }: ManifestPush, { name, tag }: Schema1): void {
  if (name !== repository) {
    const message = `the manifest names the repository ${shown(name)}, but was pushed to ${repository}`
    throw registryError('NAME_INVALID', message)
  }
  if (reference.tag !== undefined && tag !== reference.tag) {
    throw registryError(
      'TAG_INVALID',
      `the manifest names the tag ${shown(tag)}, but was pushed as "${reference.tag}"`,
    )
  }
}

function checkSignatures(document: SignedDocument, { unsigned }: Schema1Pushes): void {
  if (document.signatures.length === 0 && !unsigned) {
    throw invalid('the manifest has no "signatures": Docker schema 1 manifests must be signed')
  }
  verifySignatures(document)
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 160))
}

function invalid(message: string): RegistryError {
  return registryError('MANIFEST_INVALID', message)
}
