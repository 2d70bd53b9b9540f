{let t=setTimeout(()=>location.reload(),25e3);addEventListener("beforeunload",()=>clearTimeout(t))}
