import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'

interface PageHeaderProps {
  title: string
  /** What leads here: names with their paths. */
  trail?: [name: string, path: string][]
  /** Buttons. */
  children?: ComponentChildren
  subtitle?: ComponentChildren
}

/** The title of a page, which is also the title of the window. */
export function PageHeader({ title, trail = [], children, subtitle }: PageHeaderProps) {
  useEffect(() => {
    document.title = `${title} · cay`
  }, [title])
  return (
    <header class="page-header">
      <div class="page-title">
        {trail.length > 0 && (
          <nav aria-label="Breadcrumb" class="trail">
            {trail.map(([name, path]) => (
              <a key={path} href={path}>
                {name}
              </a>
            ))}
          </nav>
        )}
        <h1>{title}</h1>
        {subtitle && <p class="subtitle">{subtitle}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  )
}
