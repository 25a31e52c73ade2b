package graph

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// style has a light and a dark color scheme, because the drawing is transparent.
const style = `<style>
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2933}
.detail,.label{font-size:11px;fill:#616e7c}
.box{fill:#fff;stroke:#9aa5b1}
.group{fill:#9aa5b1;fill-opacity:.1;stroke:#9aa5b1;stroke-dasharray:4 3}
.ray{stroke:#0b7285}.job{stroke:#5f3dc4}.Task{stroke:#0b7285}.Choice{stroke:#b35c00}.Fail{stroke:#c92a2a}.Succeed{stroke:#2b8a3e}
.edge{fill:none;stroke:#616e7c}
.failed{stroke-dasharray:3 3}
.head{fill:#616e7c}
@media (prefers-color-scheme:dark){
text{fill:#e4e7eb}
.detail,.label{fill:#9aa5b1}
.box{fill:#1f2933;stroke:#7b8794}
.ray{stroke:#3bc9db}.job{stroke:#b197fc}.Task{stroke:#3bc9db}.Choice{stroke:#ffa94d}.Fail{stroke:#ff8787}.Succeed{stroke:#69db7c}
.edge{stroke:#9aa5b1}
.head{fill:#9aa5b1}
}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>
`

// drawSVG draws a graph as SVG. It estimates the width of texts, because it cannot measure fonts.
func drawSVG(g *Graph) []byte {
	p := layOut(g, 0)
	s := &svg{}
	w, h := number(p.w+2*padding), number(p.h+2*padding)
	fmt.Fprintf(&s.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img">`, w, h, w, h)
	fmt.Fprintf(&s.b, "\n<title>%s</title>\n%s", escape(g.Name), style)
	s.picture(p, padding, padding)
	s.b.WriteString("</svg>\n")
	return s.b.Bytes()
}

type svg struct{ b bytes.Buffer }

// picture draws the edges before the boxes, so that boxes cover them.
func (s *svg) picture(p *picture, x, y float64) {
	for _, w := range p.routes {
		s.edge(w, x, y)
	}
	for _, b := range p.boxes {
		if b.node != nil {
			s.box(b, x+b.x, y+b.y)
		}
	}
}

// box draws a node and the pictures inside it. The title is the tooltip in a browser.
func (s *svg) box(b *box, x, y float64) {
	n, class, middle := b.node, "box", x+b.w/2
	if len(b.inside) > 0 {
		class = "group"
	}
	fmt.Fprintf(&s.b, `<g><title>%s</title><rect class="%s %s" x="%s" y="%s" width="%s" height="%s" rx="6"/>`,
		escape(nodeLine(n)), class, escape(n.Kind), number(x), number(y), number(b.w), number(b.h))
	fmt.Fprintf(&s.b, `<text x="%s" y="%s" text-anchor="middle">%s</text>`, number(middle), number(y+20), escape(n.Name))
	fmt.Fprintf(&s.b, `<text class="detail" x="%s" y="%s" text-anchor="middle">%s</text></g>`+"\n",
		number(middle), number(y+36), escape(second(n)))
	for _, p := range b.inside {
		s.picture(p, x+p.x, y+p.y)
	}
}

// edge draws an edge with its arrow and its label.
func (s *svg) edge(w route, x, y float64) {
	class, marker := "edge", "marker-end"
	if w.edge.Dashed {
		class += " failed"
	}
	if w.back {
		marker = "marker-start"
	}
	fmt.Fprintf(&s.b, `<path class="%s" d="%s" %s="url(#head)"/>`+"\n", class, curve(w, x, y), marker)
	if w.edge.Label != "" {
		to := w.via[1]
		fmt.Fprintf(&s.b, `<text class="label" x="%s" y="%s">%s</text>`+"\n",
			number(x+to.x+to.w/2+5), number(y+to.y-8), escape(w.edge.Label))
	}
}

// number formats a length with one decimal, so that the output does not depend on rounding errors of the machine.
func number(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

// escape escapes text for XML, and replaces control characters, which XML does not allow.
func escape(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return entities.Replace(clean)
}
