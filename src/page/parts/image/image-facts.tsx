import type { ComponentChildren } from 'preact'
import { ClientText } from '../tables/values.tsx'

const PREFIX = 'org.opencontainers.image.'

/** What images say about themselves (OCI image-spec, "Pre-Defined Annotation Keys"), in words. */
const names: Record<string, string> = {
  description: 'Description',
  source: 'Source',
  revision: 'Revision',
  version: 'Version',
  licenses: 'License',
  documentation: 'Documentation',
  url: 'Home page',
  vendor: 'Vendor',
  authors: 'Authors',
  'base.name': 'Base image',
}

/** Returns what an artifact says about itself, by name, with links where they are safe. */
export function imageFacts(
  labels: Record<string, string>,
  annotations: Record<string, string>,
): Record<string, ComponentChildren> {
  return Object.fromEntries(
    Object.entries(names).flatMap(([key, name]) => {
      const text = labels[PREFIX + key] ?? annotations[PREFIX + key] ?? ''
      return text === '' ? [] : [[name, <ClientText key={key} text={text} />]]
    }),
  )
}
