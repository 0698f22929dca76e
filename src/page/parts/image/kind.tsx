import {
  Anchor,
  BadgeCheck,
  Blocks,
  Box,
  BrainCircuit,
  FileText,
  Layers,
  type LucideIcon,
  Package,
  ScrollText,
  Shield,
} from 'lucide-preact'

/** The icon of each kind, by a word in its name. The first match wins. */
const icons: [RegExp, LucideIcon][] = [
  [/index/i, Layers],
  [/helm|chart/i, Anchor],
  [/signature|bundle$|sigstore/i, BadgeCheck],
  [/sbom/i, ScrollText],
  [/attestation|provenance|report|vex/i, FileText],
  [/policy/i, Shield],
  [/wasm|plugin|operator/i, Blocks],
  [/model/i, BrainCircuit],
  [/image/i, Box],
]

/** Shows the kind of an artifact: an icon and its name. */
export function Kind({ of }: { of: string }) {
  const Icon = icons.find(([pattern]) => pattern.test(of))?.[1] ?? Package
  return (
    <span class="kind">
      <Icon aria-hidden /> {of}
    </span>
  )
}
