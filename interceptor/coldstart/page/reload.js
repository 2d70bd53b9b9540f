setTimeout(()=>document.readyState=="loading"&&location.reload(),25e3)
